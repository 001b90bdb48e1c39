"""The stream protocol: one object per socket, without I/O, clock or thread."""
