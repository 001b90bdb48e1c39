"""What crosses the queues: jobs, events, dead letters, reason codes, and what a refused message is told."""
