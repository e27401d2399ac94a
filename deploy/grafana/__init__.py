"""Grafana's dashboards as code: `python -m deploy.grafana DIRECTORY` writes their JSON, which the playbooks provision."""
