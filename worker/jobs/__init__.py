"""What happens to a job, from its message to its result, and the ports to everything outside of it."""
