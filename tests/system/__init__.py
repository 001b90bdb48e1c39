"""Tests of the product as its users run it: real worker processes, real brokers, a sandbox with TLS."""
