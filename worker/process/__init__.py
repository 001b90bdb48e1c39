"""One process: built, run, observed, drained and stopped."""
