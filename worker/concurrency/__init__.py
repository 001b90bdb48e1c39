"""Threads: how they are started and watched, how one wakes another, and how a job is interrupted."""
