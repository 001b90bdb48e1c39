"""The rules of the conversation with Corti, and the parts of its adapters that need no network."""
