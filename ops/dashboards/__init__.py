"""Grafana dashboards as code. `python -m ops.dashboards` writes them as JSON for Grafana."""
