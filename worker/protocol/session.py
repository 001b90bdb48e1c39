r"""The conversation of one stream as an object without socket, clock or thread (PROTOCOL.md 4).

Feed it what happened, then carry out `commands()`, hand on `messages()`, send audio while
`may_send_audio`, and call `tick` at `deadline`. Whatever the server does becomes `state` and
`failure`; no input raises.

::

    CONNECTING --opened--> CONFIGURING --CONFIG_ACCEPTED--> STREAMING --audio_ended--> ENDING
         \                     |                               |                        | ENDED
          `---------------------+---- closed, refused, late ----+--------> CLOSED <------'
"""

from dataclasses import dataclass
from enum import Enum

from worker.contract.errors import JobError, Reason, TransientError
from worker.protocol import failures, messages
from worker.protocol.messages import (
    ConfigStatus,
    Ended,
    FactsMessage,
    StreamError,
    TranscriptMessage,
    Unknown,
    Usage,
)

_NORMAL_CLOSURE = 1000


class State(Enum):
    """Where the conversation stands."""

    CONNECTING = "connecting"
    CONFIGURING = "configuring"
    STREAMING = "streaming"
    ENDING = "ending"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SendText:
    """Send this text message."""

    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a WebSocket ping."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket with code 1000."""


Command = SendText | Ping | Close
Content = TranscriptMessage | FactsMessage | Usage


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the conversation waits for what, in seconds.

    Attributes:
        config: For the answer to our configuration. The server's own limit is 10 or 15 s (10, row 1).
        ping: Of silence from the server before we send a ping.
        pong: For any sign of life after that.
        end: For `ENDED` after our `end`, counted anew at each message (no upper bound is documented).
    """

    config: float = 15.0
    ping: float = 20.0
    pong: float = 20.0
    end: float = 120.0


class Session:
    """One stream's conversation.

    Args:
        configuration: The `config` message, ready to send.
        timings: How long to wait for what.
    """

    def __init__(self, configuration: str, timings: Timings) -> None:
        self.state = State.CONNECTING
        self.failure: JobError | None = None
        self._noted_errors = failures.NotedErrors()
        self._configuration = configuration
        self._timings = timings
        self._commands: list[Command] = []
        self._messages: list[Content] = []
        self._error: StreamError | None = None
        self._heard = False  # any segment or fact
        self._phase_ends: float | None = None
        self._last_sign = 0.0
        self._pinged = False

    # -- what happened -------------------------------------------------------------------------

    def opened(self, now: float) -> None:
        """The WebSocket is open: the configuration goes first (PROTOCOL.md 4.5)."""
        if self.state is not State.CONNECTING:
            return
        self.state = State.CONFIGURING
        self._last_sign = now
        self._phase_ends = now + self._timings.config
        self._commands.append(SendText(self._configuration))

    def received(self, text: str | bytes, now: float) -> None:
        """A text message arrived."""
        self.alive(now)
        # By identity: a set would hash the state at each message, and enumerations hash in Python code.
        state = self.state
        if state is State.CONNECTING or state is State.CLOSED:
            return
        message = messages.parse(text)
        if state is State.ENDING:
            self._phase_ends = now + self._timings.end
        if isinstance(message, ConfigStatus):
            self._config_status(message)
        elif isinstance(message, Ended):
            self._ended()
        elif isinstance(message, StreamError):
            self._noted(message)
        elif not isinstance(message, Unknown):
            self._heard = self._heard or not isinstance(message, Usage)
            self._messages.append(message)

    def alive(self, now: float) -> None:
        """Anything at all arrived, a pong for example."""
        self._last_sign = now
        self._pinged = False

    def audio_ended(self, now: float) -> None:
        """There is no more audio: ask for what is left (PROTOCOL.md 4.5)."""
        if self.state is State.STREAMING:
            self.state = State.ENDING
            self._phase_ends = now + self._timings.end
            self._commands.append(SendText(messages.END))

    def closed(self, code: int | None, now: float) -> None:  # noqa: ARG002
        """The WebSocket is closed; `code` is None when the connection was lost without a close frame."""
        if self.state is State.CLOSED:
            return
        if self._error is not None:
            self._fail(failures.of_stream_error(self._error))
        elif self.state is State.CONFIGURING:
            # What the server does at its deadline is not settled: a bare close is one answer (10, row 2).
            self._fail(
                TransientError(
                    Reason.CONFIG_TIMEOUT, "the service closed before it accepted the configuration"
                )
            )
        elif code == _NORMAL_CLOSURE:
            self._fail(
                TransientError(Reason.STREAM_INTERRUPTED, "the service closed the stream without ENDED")
            )
        else:
            self._fail(TransientError(Reason.STREAM_INTERRUPTED, "the connection was lost in mid-stream"))

    def tick(self, now: float) -> None:
        """Time passed: give up what is late, ask for a sign of life where there was none."""
        if self.state in {State.CONNECTING, State.CLOSED}:
            return
        if self._phase_ends is not None and now >= self._phase_ends:
            self._late()
        elif self._pinged and now >= self._last_sign + self._timings.ping + self._timings.pong:
            self._fail(TransientError(Reason.STREAM_SILENT, "the service gave no sign of life"))
        elif not self._pinged and now >= self._last_sign + self._timings.ping:
            self._pinged = True
            self._commands.append(Ping())

    def lost(self, failure: JobError) -> None:
        """The caller cannot go on, for a reason of its own (a socket that takes no more data)."""
        self._fail(failure)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The errors that the service told."""
        return self._noted_errors.texts

    # -- what to do ----------------------------------------------------------------------------

    @property
    def may_send_audio(self) -> bool:
        """Whether audio may go out now: after acceptance and before our `end`."""
        return self.state is State.STREAMING

    @property
    def deadline(self) -> float | None:
        """When to call `tick`, or None when nothing is waited for."""
        if self.state in {State.CONNECTING, State.CLOSED}:
            return None
        silence = self._last_sign + self._timings.ping + (self._timings.pong if self._pinged else 0.0)
        return silence if self._phase_ends is None else min(silence, self._phase_ends)

    def commands(self) -> list[Command]:
        """What to do now, in order; each command is handed out once."""
        commands, self._commands = self._commands, []
        return commands

    def messages(self) -> list[Content]:
        """What the server had to say, in order; each message is handed out once."""
        content, self._messages = self._messages, []
        return content

    # -- rules ---------------------------------------------------------------------------------

    def _config_status(self, message: ConfigStatus) -> None:
        if self.state is not State.CONFIGURING:
            return
        if message.accepted:
            self.state = State.STREAMING
            self._phase_ends = None
        else:
            self._fail(failures.of_config_status(message))

    def _ended(self) -> None:
        if self._error is not None and (self.state is not State.ENDING or not self._heard):
            self._fail(failures.of_stream_error(self._error))
        elif self.state is State.ENDING:
            self.state = State.CLOSED
            self._commands.append(Close())
        else:
            self._fail(
                TransientError(Reason.STREAM_INTERRUPTED, "the service ended the stream before its audio did")
            )

    def _noted(self, error: StreamError) -> None:
        # Not every error ends the stream (PROTOCOL.md 4.4): what follows it decides.
        self._error = error
        self._noted_errors.add(error)

    def _late(self) -> None:
        if self._error is not None:
            self._fail(failures.of_stream_error(self._error))
        elif self.state is State.CONFIGURING:
            self._fail(TransientError(Reason.CONFIG_TIMEOUT, "the service did not answer the configuration"))
        else:
            self._fail(TransientError(Reason.STREAM_SILENT, "the service did not end the stream in time"))

    def _fail(self, failure: JobError) -> None:
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self.failure = failure
            self._commands.append(Close())
