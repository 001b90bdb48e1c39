"""State that all processes share through Redis: claims, results that wait, tokens."""
