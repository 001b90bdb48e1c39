"""Tests of the Corti-compatible sandbox: over real sockets, of its pure parts, and by the vendor's SDK."""
