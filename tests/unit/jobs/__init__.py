"""The path of a job, on fakes."""
