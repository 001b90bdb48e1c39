"""Tools around the worker: sandbox, demo, server fixtures, sample audio. Never installed with it."""
