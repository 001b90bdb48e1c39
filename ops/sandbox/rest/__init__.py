"""Interactions and facts as resources: stores, validation, error bodies. No I/O and no clock."""
