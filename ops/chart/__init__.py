"""What of the Helm chart is made from other files: its README, its schema, its dashboards and alerts."""
