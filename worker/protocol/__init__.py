"""The conversation with the service as objects without I/O, clock or thread.

`PROTOCOL.md` and a number in a comment mean a section of ops/sandbox/PROTOCOL.md: the facts about the wire.
"""
