"""What the worker reports about itself: metrics, logs, traces, the audit trail, health."""
