"""The adapters to the Corti API: `rest` for its HTTP side, `stream` for its WebSocket side."""
