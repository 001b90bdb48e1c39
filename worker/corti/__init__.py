"""The Corti API: its messages and conversation (pure), its REST and WebSocket sides (adapters)."""
