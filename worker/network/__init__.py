"""Connections: which hosts may be asked, which certificates are trusted, and in words why one failed."""
