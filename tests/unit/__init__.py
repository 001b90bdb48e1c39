"""Unit tests: words, rules, story, and the pure parts of the adapters."""
