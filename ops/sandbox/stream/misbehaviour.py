"""The effects of faults on one socket. Without an active fault, nothing here has an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.sandbox.stream import messages
from ops.sandbox.stream.messages import Abort, Close, FallSilent, Reply, Send, SendRaw

if TYPE_CHECKING:
    from ops.sandbox.faults import Fault, Switchboard
    from ops.sandbox.stats import StreamRecord

#: Faults that ignore the configuration: the message at the deadline, or ``None`` for a bare close.
_IGNORE_CONFIG = {
    "config_not_provided": "CONFIG_NOT_PROVIDED",
    "config_timeout": "CONFIG_TIMEOUT",
    "config_timeout_silent_close": None,
}
_GARBAGE: dict[str, str | bytes] = {
    "not_json": '{"type": "transcript", "data": [',
    "not_object": "[1, 2, 3]",
    "unknown_type": '{"type": "somethingNobodyHasHeardOf", "data": {}}',
    "binary": b"\x00\x01\x02\x03",
}


class Misbehaviour:
    """The faults of one socket. A fault counts one use per socket and then stays active on that socket."""

    def __init__(self, switchboard: Switchboard, record: StreamRecord) -> None:
        self._switchboard = switchboard
        self._record = record
        self._used: dict[str, Fault | None] = {}
        self._held: list[dict[str, Any]] = []

    def has(self, name: str) -> Fault | None:
        """Return the fault with this name if it affects this socket; the first call counts its use."""
        known = self._used.get(name)
        if known is None:
            known = self._switchboard.take(name, self._record.tenant, self._record.encounter_identifier)
            if known is not None:
                self._used[name] = known
                self._record.faults.append(name)
        return known

    def _fires(self, name: str, **reached: float) -> Fault | None:
        """Use and return a fault that is new on this socket, if one of its ``after_`` limits is reached."""
        who = self._record.tenant, self._record.encounter_identifier
        fault = None if name in self._used else self._switchboard.peek(name, *who)
        if fault is None:
            return None
        limits = [(fault[key], value) for key, value in reached.items() if fault[key] is not None]
        if limits and not any(value >= limit for limit, value in limits):
            return None
        return self.has(name)

    def on_config(self) -> list[Reply] | None:
        """Return the replies that refuse a valid configuration, or ``None`` to accept it."""
        for name, kind in (("config_denied", "CONFIG_DENIED"), ("config_rejected", "CONFIG_REJECTED")):
            fault = self.has(name)
            if fault:
                return [messages.config_status(kind, reason=fault["reason"]), Close()]
        return None

    def overlooks_config(self) -> bool:
        """Tell whether a fault requires that configurations are ignored."""
        return any(self.has(name) for name in _IGNORE_CONFIG)

    def on_deadline(self) -> list[Reply]:
        """Return the replies when the deadline for the configuration has passed."""
        for name, kind in _IGNORE_CONFIG.items():
            if self.has(name):
                return [Close()] if kind is None else [messages.config_status(kind), Close()]
        return [messages.config_status("CONFIG_NOT_PROVIDED"), Close()]

    def on_audio(self, seconds: float, received: int) -> list[Reply]:
        """Return the action that is due after this much audio, in seconds decoded and bytes received.

        The fault ``error_message`` is separate: see ``error``.
        """
        if self._fires("drop_socket", after_seconds=seconds, after_bytes=received):
            return [Abort()]
        fault = self._fires("close_code", after_seconds=seconds)
        if fault:
            return [Close(fault["code"], fault["reason"])]
        return [FallSilent()] if self._fires("go_silent", after_seconds=seconds) else []

    def error(self, seconds: float) -> tuple[Send, bool] | None:
        """Return the error message that is due after ``seconds`` of audio, and whether it is fatal."""
        fault = self._fires("error_message", after_seconds=seconds)
        if fault is None:
            return None
        message = messages.error(fault["id"], fault["title"], fault["details"], status=fault["status"])
        return message, fault["fatal"]

    def shape(self, segments: list[dict[str, Any]]) -> list[Reply]:
        """Return the messages that carry these final segments."""
        replies: list[Reply] = []
        garbage = self.has("garbage_message") if "garbage_message" not in self._used else None
        if segments and garbage:
            replies.append(SendRaw(_GARBAGE[garbage["kind"]]))
        if self.has("out_of_order_segments"):
            segments = self._swap(segments)
        if self.has("interim_segments"):
            for one in segments:
                replies += [messages.transcript([_interim(one)]), messages.transcript([one])]
        elif segments:
            replies.append(messages.transcript(segments))
        return replies

    def held_back(self) -> list[Reply]:
        """Return the message with the segment that ``out_of_order_segments`` held back, if there is one."""
        held, self._held = self._held, []
        return [messages.transcript(held)] if held else []

    def _swap(self, segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
        swapped: list[dict[str, Any]] = []
        for one in segments:
            if self._held:
                swapped += [one, self._held.pop()]
            else:
                self._held.append(one)
        return swapped


def _interim(segment: dict[str, Any]) -> dict[str, Any]:
    words = segment["transcript"].split()
    return {**segment, "final": False, "transcript": " ".join(words[: max(1, len(words) // 2)])}
