"""Tests of the tools around the worker."""
