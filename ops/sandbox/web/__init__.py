"""The aiohttp layer: routes that translate between HTTP or WebSocket and the other packages."""
