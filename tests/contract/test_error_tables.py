"""Every exception that a library defines is mapped to one of ours, or is listed with why it cannot occur.

A new version of a library with a new exception fails these tests, until the exception is mapped or listed.
"""

import errno
import inspect
import socket
import ssl
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import amqp.exceptions
import kombu.exceptions
import obstore.exceptions
import pytest
import redis
import redis.exceptions
import requests
import websocket

from worker.audio.failures import mapped as download_mapped
from worker.audio.object_failures import mapped as object_mapped
from worker.broker.confirms import ConfirmingConnection
from worker.broker.senders import RedisSender
from worker.clock import SystemClock
from worker.contract.errors import JobError, PermanentError, Reason, TransientError
from worker.corti.rest.http import mapped as rest_mapped
from worker.corti.stream.handshake import mapped as stream_mapped
from worker.jobs.ports import BrokerUnavailable

_SECRET = "wss://host/streams?token=Bearer%20secret"

#: Exceptions that requests cannot raise in our use of it.
_REQUESTS_IMPOSSIBLE = {
    "RequestsWarning": "a warning: Python reports it, and raises it only under -W error",
    "FileModeWarning": "a warning, about files opened as text; we upload none",
    "RequestsDependencyWarning": "a warning, at import",
}
_WEBSOCKET_IMPOSSIBLE: dict[str, str] = {}
_REDIS_IMPOSSIBLE = {
    "RedisClusterException": "of the cluster client; ours is redis.Redis",
    "SlotNotCoveredError": "of the cluster client",
    "CrossSlotTransactionError": "of the cluster client",
    "InvalidPipelineStack": "of the cluster client",
    "ChildDeadlockedError": "of a pool used across fork(); threads are our only concurrency",
    "IncorrectPolicyType": "of the cluster client, for a wrong argument",
}
_AMQP_IMPOSSIBLE = {
    "AMQPError": "the base: py-amqp raises its subclasses, and an unknown code as ChannelError",
    "AMQPDeprecationWarning": "a warning",
}
_KOMBU_IMPOSSIBLE = {
    "KombuError": "the base: kombu raises its subclasses",
    "BatchPublishError": "of Producer.publish_batch, which we do not use",
    "SerializationError": "of bodies that kombu serialises: ours are bytes, and text in a list",
    "EncodeError": "as SerializationError",
    "DecodeError": "of Message.payload, which we do not read",
    "NotBoundError": "of an unbound entity: a fault of ours that must surface",
    "MessageStateError": "of a second acknowledgement: a fault of ours that must surface",
    "LimitExceeded": "the base of the limits below",
    "ConnectionLimitExceeded": "of non-blocking pools; Celery's pool blocks",
    "ChannelLimitExceeded": "of channel pools, which we do not use",
    "VersionMismatch": "of an old client library, at import",
    "SerializerNotInstalled": "as SerializationError",
    "ContentDisallowed": "as DecodeError",
    "HttpError": "of the SQS transport",
}


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    """The exception classes a module defines, not those it imports."""
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


def made(kind: type[Exception]) -> Exception:
    """An instance whose text must not appear in an error of ours."""
    value: Any = kind
    if kind is requests.exceptions.JSONDecodeError:
        return requests.exceptions.JSONDecodeError(_SECRET, "{", 0)
    if kind is websocket.WebSocketBadStatusException:
        error: Exception = value(_SECRET, 503, "Away", {}, b"")
        return error
    if kind in {redis.exceptions.AskError, redis.exceptions.MovedError}:
        return kind("1 127.0.0.1:1")
    try:
        return kind(_SECRET)
    except TypeError:
        return kind()


def unmapped(
    kinds: list[type[Exception]], push: Callable[[Exception], object], ours: type[Exception]
) -> set[str]:
    """Names of the exceptions that are not mapped to an error of ours, or whose text shows in it."""
    names = set()
    for kind in kinds:
        try:
            push(made(kind))
        except ours as error:
            if not isinstance(error, kind) and "secret" not in str(error):
                continue
        except Exception:  # noqa: BLE001, S110  # it came out as it went in
            pass
        names.add(kind.__name__)
    return names


def through_rest(error: Exception) -> None:
    with rest_mapped("Corti API"):
        raise error


def through_stream(error: Exception) -> None:
    with stream_mapped(SystemClock()):
        raise error


def through_object(error: Exception) -> None:
    raise object_mapped(error)


def through_download(error: Exception) -> None:
    if not isinstance(error, requests.exceptions.RequestException):
        raise error
    raise download_mapped(error)


class BrokenRedis(redis.Redis):
    """A Redis client each of whose commands raises the same error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def execute_command(self, *args: Any, **options: Any) -> Any:
        raise self.error


def through_redis(error: Exception) -> None:
    with BrokenRedis(error) as client:
        RedisSender(client).send_dead_letter(b"{}", "id-1")


@pytest.fixture
def through_rabbitmq(rabbitmq_url: str) -> Iterator[Callable[[Exception], None]]:
    """A function that publishes on one connection, where the library raises a given error."""
    connection = ConfirmingConnection(rabbitmq_url, lambda _: None)

    def push(error: Exception) -> None:
        def publish(_: object) -> None:
            raise error

        connection.publish(publish)

    yield push
    connection.close()


def test_every_exception_of_requests_is_mapped_for_the_rest_api() -> None:
    kinds = exceptions_of(requests.exceptions)
    assert unmapped(kinds, through_rest, JobError) == set(_REQUESTS_IMPOSSIBLE)


def test_every_exception_of_requests_is_mapped_for_downloads() -> None:
    kinds = exceptions_of(requests.exceptions)
    assert unmapped(kinds, through_download, JobError) == set(_REQUESTS_IMPOSSIBLE)


def test_every_exception_of_obstore_is_mapped() -> None:
    # NotFoundError is deprecated, and warns when it is looked at; FileNotFoundError comes in its place.
    names = [name for name in dir(obstore.exceptions) if name.endswith("Error") and name != "NotFoundError"]
    kinds = [getattr(obstore.exceptions, name) for name in names]
    assert len(kinds) >= 10
    assert unmapped([*kinds, FileNotFoundError, OSError, ValueError], through_object, JobError) == set()
    with pytest.raises(ZeroDivisionError):
        through_object(ZeroDivisionError())


def test_a_panic_in_obstore_fails_the_attempt_and_not_the_worker() -> None:
    """Its class is no Exception, and no module that could be imported has it."""
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    error = object_mapped(panic(_SECRET))
    assert isinstance(error, TransientError)
    assert "secret" not in str(error)


def test_every_exception_of_websocket_client_is_mapped() -> None:
    kinds = exceptions_of(websocket._exceptions)
    assert unmapped(kinds, through_stream, JobError) == set(_WEBSOCKET_IMPOSSIBLE)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, _SECRET),
        ssl.SSLError(1, _SECRET),
        ssl.SSLCertVerificationError(1, _SECRET),
        ssl.SSLEOFError(8, _SECRET),
        TimeoutError(_SECRET),
        ConnectionRefusedError(errno.ECONNREFUSED, _SECRET),
        ConnectionResetError(errno.ECONNRESET, _SECRET),
        BrokenPipeError(errno.EPIPE, _SECRET),
        OSError(errno.ENETUNREACH, _SECRET),
        OSError(errno.EMFILE, _SECRET),
        ValueError(_SECRET),
        UnicodeEncodeError("ascii", _SECRET, 0, 1, "no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_sockets_and_urls_raise_while_a_stream_is_opened_is_mapped(error: Exception) -> None:
    with pytest.raises(TransientError) as failure:
        through_stream(error)
    assert failure.value.reason is Reason.UPSTREAM_UNAVAILABLE
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("status", [*range(300, 309), *range(400, 432), 451, *range(500, 512)])
def test_every_status_of_a_refused_upgrade_has_a_meaning(status: int) -> None:
    with pytest.raises(JobError) as failure:
        through_stream(websocket.WebSocketBadStatusException(_SECRET, status, _SECRET, {}, b""))
    assert isinstance(failure.value, TransientError | PermanentError)
    assert "secret" not in str(failure.value)


def test_every_exception_of_redis_is_mapped() -> None:
    kinds = exceptions_of(redis.exceptions)
    assert unmapped(kinds, through_redis, BrokerUnavailable) == set(_REDIS_IMPOSSIBLE)
    # The token cache, the door and the leases catch the base class.
    assert {kind.__name__ for kind in kinds if not issubclass(kind, redis.RedisError)} == set(
        _REDIS_IMPOSSIBLE
    )


def test_every_exception_of_amqp_is_mapped(through_rabbitmq: Callable[[Exception], None]) -> None:
    kinds = exceptions_of(amqp.exceptions)
    assert unmapped(kinds, through_rabbitmq, BrokerUnavailable) == set(_AMQP_IMPOSSIBLE)


def test_every_exception_of_kombu_is_mapped(through_rabbitmq: Callable[[Exception], None]) -> None:
    kinds = exceptions_of(kombu.exceptions)
    assert unmapped(kinds, through_rabbitmq, BrokerUnavailable) == set(_KOMBU_IMPOSSIBLE)
