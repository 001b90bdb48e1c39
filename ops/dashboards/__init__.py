"""Grafana dashboards as code. `python -m ops.dashboards` writes the JSON that Grafana imports."""
