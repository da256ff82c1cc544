"""What the ports of ``irss_core.jobs`` are on one machine and in a cloud."""
