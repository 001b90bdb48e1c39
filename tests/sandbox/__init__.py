"""Tests of the Corti-compatible sandbox: over real sockets, without I/O, and with the vendor's SDK."""
