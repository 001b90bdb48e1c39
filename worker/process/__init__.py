"""The life of one process: how it is built, run, observed, drained and stopped."""
