"""Pieces that the demo, the tests and the benchmark share."""
