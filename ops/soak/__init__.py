"""The soak test: constant load, a random fault every few seconds, and a check that nothing was lost."""
