"""What is installed around boardline: playbooks, Prometheus' rules, Grafana's dashboards."""
