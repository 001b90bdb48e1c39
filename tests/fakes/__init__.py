"""Small real implementations of what stands on the other side of a port.

Nothing here follows a script: each one works, can be broken and mended, and passes the suite of what it
stands for (tests/contract).
"""

from tests.fakes.audio import FakeAudioLibrary
from tests.fakes.broker import FakeIngress, FakePublisher, FakeSender, FakeWorkQueue
from tests.fakes.corti import FakeCorti, FakeTokens
from tests.fakes.ledger import MemoryLedger
from tests.fakes.telemetry import FakeAudit, FakeRecorder
from tests.fakes.time import EPOCH, FakeClock, FakeInterrupt, FakeWaiter
from tests.fakes.tokens import FakeEndpoint

__all__ = (
    "EPOCH",
    "FakeAudioLibrary",
    "FakeAudit",
    "FakeClock",
    "FakeCorti",
    "FakeEndpoint",
    "FakeIngress",
    "FakeInterrupt",
    "FakePublisher",
    "FakeRecorder",
    "FakeSender",
    "FakeTokens",
    "FakeWaiter",
    "FakeWorkQueue",
    "MemoryLedger",
)
