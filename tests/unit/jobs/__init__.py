"""Unit tests of the path of a job, on fakes."""
