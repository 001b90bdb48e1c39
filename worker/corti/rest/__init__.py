"""Corti's HTTP side by `requests`: the token endpoint and interactions (PROTOCOL.md 2, 3, 8)."""

from worker.corti.rest.http import http_session
from worker.corti.rest.interactions import RestInteractions
from worker.corti.rest.token_endpoint import TokenEndpoint

__all__ = ["RestInteractions", "TokenEndpoint", "http_session"]
