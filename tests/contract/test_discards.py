"""Messages that Celery's consumer would discard: each is first kept as it is, then settled in the loop."""

import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace

import kombu
import pytest

from tests.contract.waiting import eventually
from worker.broker import strategy
from worker.broker.discards import KeepingConsumer
from worker.jobs.ports import BrokerUnavailable
from worker.telemetry.log import LibraryFilter


class Channel:
    """The channel of a message that arrived; with `lost`, its connection has broken."""

    no_ack_consumers = None

    def __init__(self) -> None:
        self.lost = False
        self.settled: list[tuple[str, bool]] = []

    def basic_ack(self, tag: int, multiple: bool) -> None:
        self._settle("ack", False)

    def basic_reject(self, tag: int, requeue: bool) -> None:
        self._settle("reject", requeue)

    def _settle(self, how: str, requeue: bool) -> None:
        if self.lost:
            raise ConnectionResetError
        self.settled.append((how, requeue))


class Loop(KeepingConsumer):
    """The consumer, with a loop that the test runs step by step."""

    def __init__(self, keep: Callable[[bytes, str], None]) -> None:
        self.app = SimpleNamespace(keep_discarded=keep)
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, p: Callable[..., None], *args: object) -> None:
        self._soon.append(lambda: p(*args))

    def turn(self) -> None:
        """Wait until a call is scheduled in the loop, and make it."""
        eventually(lambda: bool(self._soon))
        self._soon.pop(0)()


def message(channel: Channel, body: bytes | str, **how: object) -> kombu.Message:
    return kombu.Message(body=body, delivery_tag=1, channel=channel, headers={}, **how)


WAYS = ["on_unknown_message", "on_unknown_task", "on_invalid_task", "on_decode_error"]


def discard(loop: Loop, way: str, found: kombu.Message) -> None:
    """Call the consumer's handler as Celery does."""
    arguments = {"on_unknown_message": (None, found), "on_decode_error": (found, ValueError())}
    getattr(loop, way)(*arguments.get(way, (None, found, KeyError())))


@pytest.mark.parametrize("way", WAYS)
def test_a_message_is_acknowledged_only_when_it_is_kept(way: str) -> None:
    kept, may_go_on = [], threading.Event()

    def keep(body: bytes, expected: str) -> None:
        assert may_go_on.wait(10)
        kept.append((body, expected.startswith("expected ")))

    channel, loop = Channel(), Loop(keep)
    discard(loop, way, message(channel, b"\xffAda"))
    assert channel.settled == []
    may_go_on.set()
    loop.turn()
    assert (kept, channel.settled) == ([(b"\xffAda", True)], [("ack", False)])


@pytest.mark.parametrize("way", WAYS)
def test_a_message_that_cannot_be_kept_goes_back(way: str) -> None:
    def keep(body: bytes, expected: str) -> None:
        raise BrokerUnavailable("away")

    channel, loop = Channel(), Loop(keep)
    discard(loop, way, message(channel, b""))
    loop.turn()
    assert channel.settled == [("reject", True)]


def test_a_connection_that_was_lost_meanwhile_breaks_nothing() -> None:
    channel, loop = Channel(), Loop(lambda _body, _expected: None)
    channel.lost = True
    discard(loop, WAYS[0], message(channel, b""))
    loop.turn()
    assert channel.settled == []


@pytest.mark.parametrize(
    ("body", "encoding"),
    [("Zoë", "utf-8"), ("Zoë", "latin-1"), ("Zoë", None), (b"\xff", "utf-8"), ("", None)],
)
def test_the_body_is_what_was_sent(body: bytes | str, encoding: str | None) -> None:
    kept: list[bytes] = []
    loop = Loop(lambda found, _expected: kept.append(found))
    discard(loop, WAYS[0], message(Channel(), body, content_encoding=encoding))
    loop.turn()
    assert kept == [body if isinstance(body, bytes) else body.encode(encoding or "utf-8")]


def test_kombus_log_records_about_a_delivery_show_no_secret() -> None:
    error = OSError("connection to amqp://worker:secret@broker lost")
    text, name = "Couldn't reject %r, reason: %r", strategy.logger.name
    record = logging.LogRecord(name, logging.CRITICAL, "file.py", 1, text, ("7", error), None)
    assert LibraryFilter().filter(record)
    assert record.getMessage() == text
