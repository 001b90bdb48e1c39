"""Real faults, what `/metrics` said of them, and the committed alert rules on top of that."""
