"""The protocol of one ``/streams`` socket, without I/O (PROTOCOL.md 4).

Each method for input takes ``now`` and returns the replies to send at once. ``tick`` must be called at
``deadline`` at the latest, and when a decoder or recogniser thread has a result. Errors of the client become
state changes and messages, never exceptions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ops.sandbox.audio.decoder import AudioError
from ops.sandbox.stream import messages
from ops.sandbox.stream.configuration import ConfigurationError, parse_configuration
from ops.sandbox.stream.messages import Abort, Close, FallSilent, Reply
from ops.sandbox.stream.outbox import Outbox
from ops.sandbox.stream.policy import State, StreamPolicy
from ops.sandbox.stream.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.sandbox.rest.interactions import Interaction
    from ops.sandbox.stats import StreamRecord
    from ops.sandbox.stream.configuration import Configuration
    from ops.sandbox.stream.hearing import Hearing
    from ops.sandbox.stream.misbehaviour import Misbehaviour

#: Largest binary frame (PROTOCOL.md 4.6). The sandbox ends the stream on a larger one; the service's reaction
#: is not known.
MAX_CHUNK_BYTES = 64_000


class StreamProtocol:
    """The server's side of one socket."""

    def __init__(
        self,
        *,
        interaction: Interaction,
        record: StreamRecord,
        misbehaviour: Misbehaviour,
        policy: StreamPolicy,
        make_hearing: Callable[[Configuration], Hearing],
        now: float,
    ) -> None:
        """Start the protocol of a socket that was upgraded at ``now``; it updates ``record``."""
        self.state = State.AWAITING_CONFIG
        self.end_received = False
        self._interaction = interaction
        self._record = record
        self._misbehaviour = misbehaviour
        self._policy = policy
        self._make_hearing = make_hearing
        self._opened = now
        self._outbox = Outbox()
        self._session: Session | None = None
        self._ignores_config = False
        self._flushes = 0

    @property
    def heard_seconds(self) -> float:
        """Seconds of audio decoded."""
        return self._session.hearing.seconds if self._session else 0.0

    @property
    def deadline(self) -> float | None:
        """When ``tick`` must be called at the latest; ``None`` if there is no such time."""
        times = [] if self._outbox.due is None else [self._outbox.due]
        if self.state is State.AWAITING_CONFIG:
            times.append(self._opened + self._policy.config_deadline)
        return min(times, default=None)

    def received_text(self, text: str, now: float) -> list[Reply]:
        """Handle a text frame."""
        if self.state is State.CLOSED:
            return []
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "config":
            self._config(message, now)
        elif self._session is None:
            self._queue([messages.config_status("CONFIG_MISSING", reason="send config first")], now)
        elif self.state is State.DRAINING:
            self._send_error("unexpected-message", f"nothing may follow end, but {kind!r} did", now)
        elif kind == "flush":
            self._flushes += 1
        elif kind == "end":
            self._end()
        else:
            self._send_error("unknown-message", f"no message has the type {kind!r}", now)
        return self.tick(now)

    def received_audio(self, data: bytes, now: float) -> list[Reply]:
        """Handle a binary frame."""
        if self.state is State.CLOSED:
            return []
        session = self._session
        if session is None:
            # A client that reconnects may send buffered audio before its config (PROTOCOL.md 9.4).
            self._queue([messages.config_status("CONFIG_MISSING", reason="audio before config")], now)
        elif self.state is State.DRAINING:
            self._send_error("unexpected-audio", "audio after end is not accepted", now)
        elif len(data) > MAX_CHUNK_BYTES:
            detail = f"a chunk of {len(data)} bytes exceeds {MAX_CHUNK_BYTES}"
            self._fail("audio-chunk-too-large", detail, now)
        else:
            session.hearing.feed(data)
        return self.tick(now)

    def tick(self, now: float) -> list[Reply]:
        """Handle the time ``now`` and new results of decoder and recogniser."""
        if self.state is State.AWAITING_CONFIG:
            if now >= self._opened + self._policy.config_deadline:
                self._finish(self._misbehaviour.on_deadline(), now)
        elif self._session is not None and self.state is not State.CLOSED:
            self._advance(self._session, now)
        return self._outbox.take(now)

    def push_facts(self, entries: list[dict[str, Any]], now: float) -> list[Reply]:
        """Send facts that a REST request created or changed (PROTOCOL.md 4.5, item 8)."""
        if self._session is None or self.state is State.CLOSED:
            return []
        self._queue(self._session.facts_message(entries), now)
        return self._outbox.take(now)

    def connection_lost(self) -> None:
        """Discard all state of the socket; audio that is not transcribed yet is lost."""
        self.state = State.CLOSED
        self._outbox.clear()
        if self._session is not None:
            self._session.close()

    def _config(self, message: dict[str, Any], now: float) -> None:
        if self._session is not None:
            self._queue([messages.config_status("CONFIG_ALREADY_RECEIVED")], now)
            return
        if self._ignores_config or self._misbehaviour.overlooks_config():
            self._ignores_config = True
            return
        try:
            configuration = parse_configuration(message.get("configuration"))
        except ConfigurationError as error:
            self._finish([messages.config_status("CONFIG_DENIED", reason=str(error)), Close()], now)
            return
        refusal = self._misbehaviour.on_config()
        if refusal is not None:
            self._finish(refusal, now)
            return
        self._record.configuration = message["configuration"]
        if self._misbehaviour.has("config_silent"):
            self.state = State.CLOSED
            return
        self._session = Session(
            interaction=self._interaction,
            record=self._record,
            misbehaviour=self._misbehaviour,
            policy=self._policy,
            configuration=configuration,
            hearing=self._make_hearing(configuration),
        )
        self.state = State.STREAMING
        slow = self._misbehaviour.has("config_slow")
        accepted = messages.config_status("CONFIG_ACCEPTED", configuration=configuration.resolved)
        self._outbox.put([accepted, *self._session.greeting()], now + (slow["seconds"] if slow else 0.0))

    def _advance(self, session: Session, now: float) -> None:
        """Queue the messages that follow from the audio received so far."""
        try:
            replies = session.advance(now)
        except AudioError as error:
            self._fail("audio-invalid", str(error), now)
            return
        self._outbox.put(replies, now + self._policy.latency)
        if self._flushes and session.hearing.idle:
            self._outbox.put(session.flush(), now + self._policy.latency)
            # An ended segment may keep the recogniser busy; then a later tick runs this again.
            if session.hearing.idle:
                self._queue([messages.FLUSHED] * self._flushes, now)
                self._flushes = 0
        self._apply_faults(session, now)
        if self.state is State.DRAINING and session.hearing.finished:
            self._outbox.put(session.last_words(now), now + self._policy.latency)
            self._finish(self._closing_replies(session), now)

    def _apply_faults(self, session: Session, now: float) -> None:
        """Apply the faults that are due; none is due before the first audio."""
        if not session.received_bytes:
            return
        for reply in self._misbehaviour.on_audio(session.hearing.seconds, session.received_bytes):
            if isinstance(reply, (Abort, FallSilent)):
                self._outbox.clear()
            self._finish([reply], now)
        error = self._misbehaviour.error(session.hearing.seconds)
        if error is not None and self.state is not State.CLOSED:
            message, fatal = error
            self._queue([message], now)
            if fatal:
                self._finish(self._closing_replies(session), now)

    def _end(self) -> None:
        if self._session is None:
            return
        self.end_received = True
        if self._misbehaviour.has("never_ends"):
            self._outbox.clear()
            self.state = State.CLOSED
            return
        self.state = State.DRAINING
        self._session.hearing.finish()

    def _closing_replies(self, session: Session) -> list[Reply]:
        ended: list[Reply] = [] if self._misbehaviour.has("no_ended") else [messages.ENDED]
        return [session.usage(), *ended, Close()]

    def _fail(self, identifier: str, details: str, now: float) -> None:
        """End the stream with an error: error, usage, ENDED, close (PROTOCOL.md 4.4)."""
        closing = self._closing_replies(self._session) if self._session else []
        message = messages.error(identifier, "Audio cannot be processed", details)
        self._finish([message, *closing], now)

    def _send_error(self, identifier: str, details: str, now: float) -> None:
        """Send an error message; the stream continues."""
        self._queue([messages.error(identifier, "Message cannot be processed", details)], now)

    def _queue(self, replies: list[Reply], now: float) -> None:
        self._outbox.put(replies, now)

    def _finish(self, replies: list[Reply], now: float) -> None:
        self._queue(replies, now)
        self.state = State.CLOSED
