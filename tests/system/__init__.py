"""Real worker processes, real brokers, a real TLS sandbox: the product as its users run it."""
