"""A local server that implements the Corti API (tokens, interactions, streams) and can inject faults.

A reference such as "PROTOCOL.md 4.5" in a comment means that section of ``ops/sandbox/PROTOCOL.md``, which
records the facts about the protocol.
"""
