"""A local server that speaks the Corti API: tokens, interactions, streams; and, when told to, misbehaves."""
