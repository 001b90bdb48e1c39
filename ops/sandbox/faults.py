"""Faults that the sandbox can inject: what goes wrong, for whom, and how often.

A ``Fault`` is an immutable value that was checked against ``fault_table``. The ``Switchboard`` holds the
active faults. Server code calls ``take`` at each place where it can inject a fault, so a new fault also
affects sockets that are already open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ops.sandbox.fault_table import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LIMITS = ("count", "tenant", "encounter")


class FaultError(ValueError):
    """A fault with an unknown name, an unknown parameter or an invalid value."""


@dataclass(frozen=True)
class Fault:
    """One fault with its parameters and its limits; ``fault[name]`` is the value of a parameter."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: How many requests or sockets the fault affects; ``None`` means all.
    count: int | None = None
    #: The fault affects this tenant only.
    tenant: str | None = None
    #: The fault affects only interactions whose ``encounter.identifier`` has this prefix.
    encounter: str | None = None

    @classmethod
    def parse(cls, raw: object) -> Fault:
        """Build a fault from JSON, with the defaults of its table entry filled in.

        Raises:
            FaultError: unknown name or parameter, or an invalid value.
        """
        if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
            raise FaultError("a fault is an object with a name")
        name = raw["name"]
        specification = FAULTS.get(name)
        if specification is None:
            raise FaultError(f"no fault is called {name!r}; known are {', '.join(sorted(FAULTS))}")
        given = {key: value for key, value in raw.items() if key != "name" and key not in _LIMITS}
        unknown = sorted(set(given) - set(specification.parameters))
        if unknown:
            raise FaultError(f"{name} has no parameter {', '.join(unknown)}")
        parameters = {key: entry.default for key, entry in specification.parameters.items()} | given
        for key, value in parameters.items():
            problem = specification.parameters[key].problem(value)
            if problem:
                raise FaultError(f"{name}: {key} {problem}")
        count, tenant, encounter = (raw.get(key) for key in _LIMITS)
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise FaultError(f"{name}: count must be a positive integer")
        for key, value in (("tenant", tenant), ("encounter", encounter)):
            if value is not None and not isinstance(value, str):
                raise FaultError(f"{name}: {key} must be a string")
        return cls(name, MappingProxyType(parameters), count, tenant, encounter)

    def concerns(self, tenant: str | None, encounter: str | None) -> bool:
        """Tell whether this fault affects the given tenant and encounter identifier."""
        if self.tenant is not None and self.tenant != tenant:
            return False
        return self.encounter is None or (encounter is not None and encounter.startswith(self.encounter))

    def __getitem__(self, parameter: str) -> Any:
        return self.parameters[parameter]

    def as_json(self) -> dict[str, Any]:
        """Return an object from which ``parse`` makes an equal fault."""
        limits = {key: getattr(self, key) for key in _LIMITS if getattr(self, key) is not None}
        return {"name": self.name, **self.parameters, **limits}


def parse_faults(raw: Any) -> list[Fault]:
    """Read one fault or a list of them from JSON.

    Raises:
        FaultError: at least one fault is invalid; the text names the first.
    """
    return [Fault.parse(one) for one in (raw if isinstance(raw, list) else [raw])]


@dataclass
class _Entry:
    fault: Fault
    used: int = 0

    @property
    def spent(self) -> bool:
        return self.fault.count is not None and self.used >= self.fault.count


class Switchboard:
    """The active faults, with the number of times each was used."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._entries = [_Entry(fault) for fault in faults]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, fault: Fault) -> None:
        """Activate a fault; of two faults with the same name the older is used first."""
        self._entries.append(_Entry(fault))

    def clear(self, name: str | None = None) -> None:
        """Remove all faults, or those with this name."""
        self._entries = [entry for entry in self._entries if name is not None and entry.fault.name != name]

    def peek(self, name: str, tenant: str | None = None, encounter: str | None = None) -> Fault | None:
        """Return the fault that ``take`` would return, without counting a use."""
        entry = self._find(name, tenant, encounter)
        return entry.fault if entry else None

    def take(self, name: str, tenant: str | None = None, encounter: str | None = None) -> Fault | None:
        """Return the first fault that applies and count one use; ``None`` when no fault applies."""
        entry = self._find(name, tenant, encounter)
        if entry is None:
            return None
        entry.used += 1
        return entry.fault

    def take_for(
        self, name: str, operation: str, tenant: str | None = None, encounter: str | None = None
    ) -> Fault | None:
        """Like ``take``, for faults with an ``operation`` parameter: a REST operation or ``any``."""
        for entry in self._entries:
            fault = entry.fault
            if fault.name != name or entry.spent or not fault.concerns(tenant, encounter):
                continue
            if fault["operation"] in ("any", operation):
                entry.used += 1
                return fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """Return all faults with the count ``used``; faults that are used up are still listed."""
        return [{**entry.fault.as_json(), "used": entry.used} for entry in self._entries]

    def _find(self, name: str, tenant: str | None, encounter: str | None) -> _Entry | None:
        for entry in self._entries:
            if entry.fault.name == name and not entry.spent and entry.fault.concerns(tenant, encounter):
                return entry
        return None
