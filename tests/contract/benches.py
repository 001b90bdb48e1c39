"""Two implementations of Corti's ports: the fakes of the unit tests, and our adapters with the sandbox.

Unit tests with fakes prove nothing unless fakes and adapters behave alike, so both run the same tests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tests.contract.corti_side import CortiSide, make_job
from tests.contract.studio import PCM, Studio, sha256, studio
from tests.contract.waiting import eventually
from tests.fakes import FakeCorti, FakeTokens
from worker.jobs.ports import Interaction, Interactions, Streams
from worker.protocol import messages
from worker.protocol.token import Token


class Bench(Protocol):
    """One implementation of the ports, with methods to inspect and change the service behind it."""

    @property
    def interactions(self) -> Interactions: ...

    @property
    def streams(self) -> Streams: ...

    @property
    def token(self) -> Token:
        """A token that the service accepts."""
        ...

    def revoke(self) -> None:
        """Make the service refuse the token from now on."""
        ...

    def open_streams(self) -> int:
        """How many streams are open."""
        ...

    def heard(self, interaction: Interaction) -> str:
        """SHA-256 of the audio that arrived for an interaction."""
        ...


class StoryBench:
    """The fake service, in memory."""

    def __init__(self) -> None:
        self._auth = FakeTokens()
        self._service = FakeCorti(self._auth)
        self.interactions: Interactions = self._service
        self.streams: Streams = self._service
        self.token = self._auth.get()

    def revoke(self) -> None:
        self._auth.revoked.add(self.token.value)

    def open_streams(self) -> int:
        return self._service.open_streams

    def heard(self, interaction: Interaction) -> str:
        (audio,) = [audio for name, _, audio in self._service.streamed if name == interaction.id]
        return sha256(audio)


class SandboxBench:
    """The worker's adapters, and the sandbox behind them."""

    def __init__(self, side: CortiSide, room: Studio | None = None) -> None:
        self._side = side
        self._room = room
        self.interactions: Interactions = side.interactions()
        self.token = side.token()

    @property
    def streams(self) -> Streams:
        assert self._room is not None
        return self._room.streams

    def revoke(self) -> None:
        self._side.sandbox.fault("revoke_tokens")

    def open_streams(self) -> int:
        open_now: int = self._side.sandbox.stats(summary=True)["sockets_open"]
        return open_now

    def heard(self, interaction: Interaction) -> str:
        assert self._room is not None
        return str(self._room.record(interaction)["sha256"])


@contextmanager
def sandbox_bench(side: CortiSide) -> Iterator[SandboxBench]:
    """The adapters and the sandbox, with streams of a studio."""
    with studio(side) as room:
        yield SandboxBench(side, room)


def configuration() -> str:
    """A configuration for PCM that the service accepts."""
    return messages.configuration(make_job(output={"mode": "transcription"}), PCM)


def all_closed(bench: Bench) -> None:
    """Wait until no stream is open any more."""
    eventually(lambda: bench.open_streams() == 0)
