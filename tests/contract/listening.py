"""Reading audio from a source, for the tests of files and of downloads."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.secrecy import assert_silent
from worker.audio.blocking import BlockingCalls
from worker.audio.downloads import Downloads
from worker.audio.reading import Source
from worker.audio.roots import Roots
from worker.audio.source import Sources
from worker.clock import SystemClock
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import JobError, Reason
from worker.network.hosts import HostRules

SECRET = "Ada-Lovelace"
BODY = bytes(range(256)) * 1024


@contextmanager
def audio_sources(*roots: Path, hosts: str | None = "127.0.0.1", **options: Any) -> Iterator[Sources]:
    """Sources of audio as a worker makes them; `options` are those of `Downloads`."""
    calls = BlockingCalls()
    limits = {"timeout": 0.5, "least_speed": 0.25, "max_bytes": 1 << 32}
    context = options.pop("context", None) or ssl.create_default_context()
    downloads = Downloads(
        HostRules.parse(hosts), calls, SystemClock(), context=context, **{**limits, **options}
    )
    try:
        yield Sources(downloads, Roots(roots), calls)
    finally:
        downloads.close()
        calls.close()


@contextmanager
def opened(sources: Sources, audio: Audio, interrupt: Interrupt | None = None) -> Iterator[Source]:
    """An opened source of which nothing was read yet."""
    with sources.open(audio, interrupt or Interrupt(), lambda source: source) as source:
        yield source


def blocks(source: Source, size: int = 5000) -> Iterator[bytes]:
    """Everything that a source gives, in reads of `size` bytes."""
    return iter(partial(source.read, size), b"")


def read(sources: Sources, uri: str) -> bytes:
    """Everything that a source gives, as one value."""
    with opened(sources, Audio(uri=uri)) as source:
        return b"".join(blocks(source))


def failure_of(sources: Sources, uri: str) -> JobError:
    """Read a source, which must fail; return the error, which must hold no part of the URI."""
    with pytest.raises(JobError) as failure:
        read(sources, uri)
    assert failure.value.reason in {Reason.AUDIO_UNREACHABLE, Reason.AUDIO_TOO_LARGE}
    assert_silent(failure.value, SECRET, "secret.wav", "passwd", "loop")
    return failure.value
