"""Reading audio from a source, for the tests of files and of downloads."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.contract.secrecy import assert_silent
from worker.audio.source import Source, Sources
from worker.errors import JobError, Reason
from worker.job import Audio

SECRET = "Ada-Lovelace"
BODY = bytes(range(256)) * 1024


def blocks(source: Source, size: int = 5000) -> Iterator[bytes]:
    """All that a source gives, so much at a time."""
    return iter(partial(source.read, size), b"")


def read(sources: Sources, uri: str) -> bytes:
    """Everything, in blocks."""
    with sources.open(Audio(uri=uri)) as source:
        return b"".join(blocks(source))


def failure_of(sources: Sources, uri: str) -> JobError:
    """Fail, and give out nothing of the URI on the way."""
    with pytest.raises(JobError) as failure:
        read(sources, uri)
    assert failure.value.reason is Reason.AUDIO_UNREACHABLE
    assert_silent(failure.value, SECRET, "secret.wav", "passwd", "loop")
    return failure.value
