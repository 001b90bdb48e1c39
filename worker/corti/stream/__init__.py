"""The WebSocket side: set up by websocket-client on a job's thread, moved by one pacer for all."""

from worker.corti.stream.feed import Feeder
from worker.corti.stream.gate import AdmissionGate
from worker.corti.stream.pacer import Figures, Pacer
from worker.corti.stream.streams import WebSocketStreams

__all__ = ["AdmissionGate", "Feeder", "Figures", "Pacer", "WebSocketStreams"]
