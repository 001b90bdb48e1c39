"""The WebSocket side: websocket-client opens streams on the jobs' threads, one pacer thread serves them."""

from worker.corti.stream.feed import Feeder
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import Figures, Pacer
from worker.corti.stream.streams import WebSocketStreams

__all__ = ["AdmissionGate", "Feeder", "Figures", "Pacer", "WebSocketStreams"]
