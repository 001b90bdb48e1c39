"""The stream protocol on the server side: one object per socket, without I/O, clock or thread."""
