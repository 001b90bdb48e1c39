"""Audio: reading it from where it is, knowing its clock, cutting it into chunks."""
