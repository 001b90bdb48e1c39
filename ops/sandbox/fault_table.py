"""The table of every fault the sandbox knows: parameters, their kinds and defaults.

The README repeats this table for readers; ``tests/sandbox`` checks that both name the same faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Parameter:
    """One parameter: the kind of value it takes and what it is when not given."""

    kind: type[int | float | str | bool]
    default: Any
    choices: tuple[Any, ...] | None = None
    lowest: float | None = None
    highest: float | None = None

    def problem(self, value: object) -> str | None:
        """Say what is wrong with a value, or ``None``."""
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
    """What one fault does, in a sentence, and its parameters."""

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
    "auth_down": Specification(
        "the token endpoint is out of order: 503, or the connection is cut", {"how": _HOW}
    ),
    "auth_error": Specification(
        "the token endpoint answers with this status",
        {"status": _status(500), "error": Parameter(str, "server_error"), "retry_after": _RETRY_AFTER},
    ),
    "revoke_tokens": Specification("once: every token issued so far is refused with 401 from now on"),
    "rotate_secret": Specification(
        "once: only this client secret is accepted from now on", {"secret": Parameter(str, "rotated-secret")}
    ),
    "slow_api": Specification("REST replies come late", {"operation": _OPERATION, "seconds": _seconds(5.0)}),
    "api_error": Specification(
        "REST requests fail with this status and change nothing",
        {"operation": _OPERATION, "status": _status(500), "retry_after": _RETRY_AFTER},
    ),
    "api_cut": Specification("the connection is cut instead of a REST reply", {"operation": _OPERATION}),
    "quota": Specification("429 with type ...A0021: no credits left", {"operation": _OPERATION}),
    "rate_limit": Specification(
        "429 with Retry-After", {"operation": _OPERATION, "retry_after": Parameter(float, 1.0, lowest=0)}
    ),
    "lost_create": Specification("the interaction is created, but the reply is 500 or a cut", {"how": _HOW}),
    "create_status_200": Specification("a successful create answers 200 instead of 201"),
    "upgrade_refused": Specification(
        "the socket is refused with this status", {"status": _status(503), "retry_after": _RETRY_AFTER}
    ),
    "config_denied": Specification("CONFIG_DENIED, then close 1000", {"reason": _REASON}),
    "config_rejected": Specification("CONFIG_REJECTED, then close 1000", {"reason": _REASON}),
    "config_silent": Specification("the configuration is never answered, and nothing else is"),
    "config_slow": Specification("the configuration is accepted late", {"seconds": _seconds(2.0)}),
    "config_not_provided": Specification(
        "the configuration is overlooked: CONFIG_NOT_PROVIDED at the deadline"
    ),
    "config_timeout": Specification("the configuration is overlooked: CONFIG_TIMEOUT at the deadline"),
    "config_timeout_silent_close": Specification(
        "the configuration is overlooked: bare close at the deadline"
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
        "TCP stays open, but nothing is read or answered, pings neither", {"after_seconds": _seconds(0.0)}
    ),
    "slow_reader": Specification("the server waits before it reads each frame", {"seconds": _seconds(0.5)}),
    "error_message": Specification(
        "an error message; if fatal, usage, ENDED and close follow",
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
    "never_ends": Specification("after end nothing more comes"),
    "facts_key_data": Specification("the list of a facts message is called data"),
    "interim_segments": Specification("each final segment is preceded by one with final false"),
    "out_of_order_segments": Specification("every first of two segments comes after the second"),
    "repeat_segments": Specification(
        "a further socket of an interaction first repeats every segment sent before"
    ),
    "time_restarts": Specification("time.start counts from the start of the socket (the default)"),
    "time_continues": Specification("time.start counts on from the audio of earlier sockets"),
    "garbage_message": Specification(
        "an unusable message before the first transcript",
        {"kind": Parameter(str, "not_json", choices=("not_json", "not_object", "unknown_type", "binary"))},
    ),
}
