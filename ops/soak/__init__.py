"""A soak: constant load with a random fault every few seconds, and the books balanced at the end."""
