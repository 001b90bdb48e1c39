"""Programs in C: the server that clients are measured against, and the floor that they are measured by."""
