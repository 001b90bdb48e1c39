"""The test suite, run by ops/test."""
