"""Generates the parts of the Helm chart that come from other files: README, schema, dashboards and alerts."""
