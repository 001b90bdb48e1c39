"""Benchmarks: what streams and jobs cost, compared with alternatives to the worker."""
