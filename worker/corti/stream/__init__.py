"""The WebSocket side: set up by websocket-client on a job's thread, moved by one pacer for all."""

from worker.corti.stream.feed import Feeder
from worker.corti.stream.pacer import Figures, Pacer
from worker.corti.stream.streams import WebSocketStreams
from worker.corti.stream.turnstile import Turnstile

__all__ = ["Feeder", "Figures", "Pacer", "Turnstile", "WebSocketStreams"]
