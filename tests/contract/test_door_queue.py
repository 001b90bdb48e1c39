"""The door on RabbitMQ, where another client has already declared its queue."""

import threading

import kombu
import pytest
from structlog.testing import capture_logs

from tests.contract.waiting import eventually
from worker.broker import declaring
from worker.broker.door import RabbitDoor
from worker.broker.topology import JOBS
from worker.jobs.ingress_headers import NO_HEADERS, IngressHeaders


class Pile:
    """An ingress that accepts every message."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def take(self, body: bytes, known: IngressHeaders = NO_HEADERS) -> None:
        self.bodies.append(body)


def test_a_queue_with_other_arguments_is_used_as_it_is_and_the_log_says_so(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declaring, "_told", set())
    with kombu.Connection(rabbitmq_url) as connection:
        kombu.Queue(JOBS, durable=True)(connection.channel()).declare()
        connection.Producer().publish(b"a message", routing_key=JOBS)
    pile, stop = Pile(), threading.Event()
    door = RabbitDoor(rabbitmq_url, pile)
    with capture_logs() as logs:
        thread = threading.Thread(target=door.run, args=(stop, lambda: None, lambda _why: None))
        thread.start()
        try:
            eventually(lambda: pile.bodies == [b"a message"])
        finally:
            stop.set()
            thread.join()
    assert [record["event"] for record in logs] == ["queue_has_other_arguments"]
