"""The ports in memory: plain, and held to the same contract suites as the real ones."""
