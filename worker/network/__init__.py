"""Whom the worker connects to: which hosts it may ask, whom it trusts, and in words why that failed."""
