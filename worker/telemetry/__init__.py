"""What the worker tells of itself: metrics, logs, traces, the audit trail, health."""
