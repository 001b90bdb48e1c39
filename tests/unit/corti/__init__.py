"""The parts of the adapters of Corti that need no network."""
