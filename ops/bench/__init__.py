"""Measurements: what a stream and a job cost, beside what people would use instead."""
