"""The thin aiohttp edge: routes that translate between HTTP, WebSocket and the objects behind them."""
