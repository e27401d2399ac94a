"""What programs show of themselves while they run: metrics that Prometheus scrapes, and log lines."""
