"""Fakes: small working implementations of the ports, in memory.

No fake follows a script. Each one works, can be broken and repaired, and passes the tests of the real
adapter that it replaces (tests/contract).
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
