"""Real faults, recordings of `/metrics` during them, and the committed alert rules evaluated on these."""
