"""The conversation with the service as objects without I/O, clock or thread."""
