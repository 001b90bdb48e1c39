"""A local server that speaks the Corti API: tokens, interactions, streams; and, when told to, misbehaves.

`PROTOCOL.md` and a number in a comment mean a section of that document: the facts about the wire.
"""
