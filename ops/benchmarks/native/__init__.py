"""Programs in C: the load server, and `floor`, a client that shows the least possible cost of streams."""
