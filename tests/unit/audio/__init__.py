"""Audio: its clock, its headers, its containers."""
