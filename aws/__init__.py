"""IRSS on AWS: what Lambda runs (handlers), the infrastructure (template.yaml), and its operation (`irss cloud`)."""
