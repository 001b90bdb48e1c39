"""Hypothesis for the unit tests: the same few examples at each run, and nothing kept on disk.

`pytest tests/unit --hypothesis-profile=thorough` tries new and more examples.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("thorough", deadline=None, max_examples=2000, database=None)
settings.register_profile(
    "unit",
    deadline=None,
    derandomize=True,
    max_examples=5,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")
