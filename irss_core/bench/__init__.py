"""Benchmarks: figures measured on this machine, in one run against their reference."""
