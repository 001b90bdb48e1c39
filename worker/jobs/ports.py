"""What running a job needs from outside, as small Protocols. Adapters implement them; tests use fakes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from worker.concurrency.interrupt import Interrupt
from worker.contract import job as jobs
from worker.contract.dead_letter import DeadLetter
from worker.contract.events import AudioFigures, Event
from worker.jobs.claims import OutboxEntry
from worker.jobs.ingress_headers import IngressHeaders
from worker.protocol.pace import Chunk
from worker.protocol.session import Content
from worker.protocol.token import Token

#: Waits until the caller can go on without delaying a running stream. See `worker.corti.stream.gate`.
GiveWay = Callable[[], None]


def never() -> None:
    """A `GiveWay` that does not wait."""


class Tokens(Protocol):
    """Access tokens."""

    def get(self) -> Token:
        """A token that is good now.

        Raises:
            JobError: When none can be had.
        """
        ...

    def refused(self, token: Token) -> None:
        """The service refused this token: nobody shall use it again."""
        ...


@dataclass(frozen=True, slots=True)
class Interaction:
    """Corti's object for one encounter: its id, and where to stream to (without a token)."""

    id: str
    stream_url: str


class Cipher(Protocol):
    """Encrypts what is stored outside of this process."""

    def encrypt(self, plain: bytes) -> bytes:
        """The stored form."""
        ...

    def decrypt(self, secret: bytes) -> bytes | None:
        """The plain form, or None when it was stored with a key that we do not have."""
        ...


class Interactions(Protocol):
    """Creates interactions, and finds those that were created."""

    def create(self, job: jobs.Job, token: Token) -> Interaction:
        """Create the interaction of a job.

        Raises:
            TokenRefused: The token is no good.
            JobError: Anything else that went wrong.
        """
        ...

    def find(self, job: jobs.Job, token: Token) -> Interaction | None:
        """The interaction that has the job's encounter identifier, if there is one. Raises like `create`."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """Progress of a stream: audio sent so far."""

    seconds: float


class Stream(Protocol):
    """One open stream."""

    def converse(
        self,
        chunks: Iterator[Chunk],
        speed: float,
        *,
        live: bool,
        interrupt: Interrupt,
        at_hand: bool = False,
    ) -> Iterator[Content | Sent]:
        """Send the audio at its pace and yield what comes back, until the service has ended the stream.

        Args:
            chunks: The audio.
            speed: Times real time.
            live: Yield messages and progress as they happen; otherwise messages may come later, in batches.
            interrupt: Ends the conversation early.
            at_hand: Whether taking a chunk never waits for a network.

        Raises:
            JobError: The stream did not come to a good end, or `chunks` raised.
            Interrupted: By `interrupt`.
        """
        ...

    def first_segment(self) -> float | None:
        """Seconds from the open stream to the arrival of its first segment; None before that."""
        ...

    def figures(self) -> tuple[AudioFigures, tuple[str, ...]]:
        """What was sent, and warnings noted on the way."""
        ...


class Streams(Protocol):
    """Opens streams."""

    def open(
        self, interaction: Interaction, token: Token, configuration: str
    ) -> AbstractContextManager[Stream]:
        """Connect to an interaction's stream.

        Raises:
            TokenRefused: The token is no good.
            JobError: Anything else that went wrong.
        """
        ...


class LiveEvents(Protocol):
    """Publishes the events that are sent while a job runs."""

    def publish(self, event: Event, reply_to: str | None) -> None:
        """Publish an event, with one try.

        Raises:
            BrokerUnavailable: The broker did not confirm.
        """
        ...


class Publisher(Protocol):
    """Publishes how jobs ended. Both methods return when the broker has confirmed.

    They raise BrokerUnavailable when it did not confirm within the publisher's patience.
    """

    def deliver(self, outbox_entry: OutboxEntry) -> None:
        """Publish a final event, after its dead letter if there is one."""
        ...

    def publish_dead_letter(self, letter: DeadLetter) -> None:
        """Put the dead letter of a message that is no job on corti.dead."""
        ...


class Aside(Protocol):
    """Sets deliveries aside that cannot run now."""

    def set_aside(self, body: bytes, headers: IngressHeaders) -> None:
        """Have a job come back through the door in a while, with its headers.

        Raises:
            BrokerUnavailable: The broker did not confirm.
        """
        ...


class BrokerUnavailable(Exception):
    """The broker did not confirm in time. The job must stay with the broker, so that it runs again."""


class ReplyRefused(BrokerUnavailable):
    """The queue in the job's `reply_to` does not take events; the broker still takes those of other jobs."""


class Waiter(Protocol):
    """Lets time pass."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...
