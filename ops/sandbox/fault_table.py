"""The table of all faults that the sandbox can inject, with the types and defaults of their parameters.

The README repeats this table for readers. ``tests/sandbox`` checks that both list the same faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fault: type, default and allowed values (``lowest`` and ``highest`` inclusive)."""

    kind: type[int | float | str | bool]
    default: Any
    choices: tuple[Any, ...] | None = None
    lowest: float | None = None
    highest: float | None = None

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, or ``None`` when it is valid."""
        if value is None and self.default is None:
            return None
        kinds = (int, float) if self.kind is float else (self.kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and self.kind is not bool):
            return f"must be of type {self.kind.__name__}"
        if self.choices is not None and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))}"
        if isinstance(value, (int, float)) and self.lowest is not None and value < self.lowest:
            return f"must be at least {self.lowest:g}"
        if isinstance(value, (int, float)) and self.highest is not None and value > self.highest:
            return f"must be at most {self.highest:g}"
        return None


@dataclass(frozen=True)
class Specification:
    """What one fault does, in one phrase, and its parameters by name."""

    does: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


OPERATIONS = (
    "create_interaction",
    "list_interactions",
    "get_interaction",
    "update_interaction",
    "delete_interaction",
    "list_facts",
    "create_facts",
    "update_facts",
    "update_fact",
    "list_fact_groups",
)


def _seconds(default: float | None) -> Parameter:
    return Parameter(float, default, lowest=0)


def _status(default: int) -> Parameter:
    return Parameter(int, default, lowest=400, highest=599)


_RETRY_AFTER = Parameter(float, None, lowest=0)
_OPERATION = Parameter(str, "any", choices=("any", *OPERATIONS))
_HOW = Parameter(str, "status", choices=("status", "cut"))
_REASON = Parameter(str, "refused by a sandbox fault")

FAULTS: Mapping[str, Specification] = {
    "auth_down": Specification("the token endpoint answers 503 or cuts the connection", {"how": _HOW}),
    "auth_error": Specification(
        "the token endpoint answers with this status",
        {"status": _status(500), "error": Parameter(str, "server_error"), "retry_after": _RETRY_AFTER},
    ),
    "revoke_tokens": Specification("takes effect once: every token issued so far is refused with 401"),
    "rotate_secret": Specification(
        "takes effect once: from then on only this client secret is accepted",
        {"secret": Parameter(str, "rotated-secret")},
    ),
    "slow_api": Specification(
        "REST replies are delayed by this many seconds", {"operation": _OPERATION, "seconds": _seconds(5.0)}
    ),
    "api_error": Specification(
        "REST requests fail with this status and change nothing",
        {"operation": _OPERATION, "status": _status(500), "retry_after": _RETRY_AFTER},
    ),
    "api_cut": Specification(
        "the connection is cut instead of sending a REST reply", {"operation": _OPERATION}
    ),
    "quota": Specification("429 with type ...A0021: no credits left", {"operation": _OPERATION}),
    "rate_limit": Specification(
        "429 with Retry-After", {"operation": _OPERATION, "retry_after": Parameter(float, 1.0, lowest=0)}
    ),
    "lost_create": Specification(
        "the interaction is created, but the reply is 500 or the connection is cut", {"how": _HOW}
    ),
    "create_status_200": Specification("a successful create answers 200 instead of 201"),
    "upgrade_refused": Specification(
        "the WebSocket upgrade is refused with this status",
        {"status": _status(503), "retry_after": _RETRY_AFTER},
    ),
    "config_denied": Specification("CONFIG_DENIED, then close 1000", {"reason": _REASON}),
    "config_rejected": Specification("CONFIG_REJECTED, then close 1000", {"reason": _REASON}),
    "config_silent": Specification("the server answers neither the configuration nor later messages"),
    "config_slow": Specification(
        "CONFIG_ACCEPTED is delayed by this many seconds", {"seconds": _seconds(2.0)}
    ),
    "config_not_provided": Specification("the configuration is ignored: CONFIG_NOT_PROVIDED at the deadline"),
    "config_timeout": Specification("the configuration is ignored: CONFIG_TIMEOUT at the deadline"),
    "config_timeout_silent_close": Specification(
        "the configuration is ignored: close without a message at the deadline"
    ),
    "drop_socket": Specification(
        "TCP reset after this much audio",
        {"after_seconds": _seconds(None), "after_bytes": Parameter(int, None, lowest=0)},
    ),
    "close_code": Specification(
        "the server closes with this code after this much audio",
        {
            "code": Parameter(int, 1011, lowest=1000, highest=4999),
            "after_seconds": _seconds(1.0),
            "reason": Parameter(str, ""),
        },
    ),
    "go_silent": Specification(
        "TCP stays open, but the server neither reads nor answers, not even pings",
        {"after_seconds": _seconds(0.0)},
    ),
    "slow_reader": Specification("the server waits before it reads each frame", {"seconds": _seconds(0.5)}),
    "error_message": Specification(
        "the server sends an error message; if fatal, then usage, ENDED and close",
        {
            "fatal": Parameter(bool, False),
            "after_seconds": _seconds(1.0),
            "id": Parameter(str, "sandbox-fault"),
            "status": _status(500),
            "title": Parameter(str, "Sandbox fault"),
            "details": Parameter(str, "An error message ordered by a fault."),
        },
    ),
    "no_ended": Specification("after end: usage, then close 1000 without ENDED"),
    "never_ends": Specification("after end the server sends nothing more"),
    "facts_key_data": Specification("the list in a facts message has the key data instead of fact"),
    "interim_segments": Specification("an interim segment (final false) comes before each final segment"),
    "out_of_order_segments": Specification(
        "segments are swapped in pairs: the second comes before the first"
    ),
    "repeat_segments": Specification(
        "a later socket of an interaction first repeats every segment sent so far"
    ),
    "time_restarts": Specification("time.start counts from the start of the socket (also without a fault)"),
    "time_continues": Specification("time.start continues after the audio of earlier sockets"),
    "garbage_message": Specification(
        "an unusable message before the first transcript",
        {"kind": Parameter(str, "not_json", choices=("not_json", "not_object", "unknown_type", "binary"))},
    ),
}
