"""The packages of `worker/`: who may import whom, and which library lives where.

A package imports only packages on lower levels. A new package must be given its place in `LEVELS`, and a new
library its adapter in `LIBRARIES`.
"""

import ast
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.syntax import ROOT, Trees, inner_imports, trees, used

MAX_LINES = 250
MOST_PACKAGES = 15

#: The packages and single modules of `worker/`, from the lowest level to the highest.
LEVELS = (
    {"clock", "contract", "network"},
    {"concurrency", "protocol", "settings"},
    {"telemetry"},
    {"jobs"},
    {"audio", "broker", "corti", "store"},
    {"process"},
    {"cli"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}

_OUTER = {f"worker.{name}" for name in LEVEL if LEVEL[name] > LEVEL["jobs"]} | {
    f"worker.telemetry.{name}" for name in ("audit_log", "health", "log", "metrics", "otel")
}
#: Each library outside of the standard one, and the modules or whole packages that may use it.
LIBRARIES = {
    "amqp": {"worker.broker"},
    "av": {"worker.audio.media"},
    "celery": {"worker.broker", "worker.process.worker"},
    "certifi": {"worker.network.trust"},
    "click": {"worker.cli"},
    "cryptography": {"worker.settings.kinds", "worker.store.cipher", "worker.store.token_cache.store"},
    "kombu": {"worker.broker"},
    "obstore": {"worker.audio.object_failures", "worker.audio.object_version", "worker.audio.stores"},
    "opentelemetry": {"worker.telemetry.otel"},
    "prometheus_client": {"worker.telemetry.metrics"},
    "pydantic": {"worker.cli", "worker.contract", "worker.settings"},
    "pydantic_core": {"worker.contract", "worker.protocol.messages", "worker.telemetry.audit_log"},
    "redis": {"worker.broker", "worker.process.broker_side", "worker.process.corti_side", "worker.store"},
    "requests": {"worker.audio", "worker.corti.rest", "worker.process.corti_side"},
    "structlog": {"worker.concurrency.background", "worker.jobs"} | _OUTER,
    "urllib3": {"worker.audio"},
    "websocket": {"worker.corti.stream.handshake"},
    "websockets": {"worker.corti.stream.frames"},
}
#: Parts of the standard library, and the only modules that may use each.
RESTRICTED: Mapping[str, set[str]] = {
    # The drain uses `_exit`, which ends the process even if a thread hangs.
    # The reader of files opens a path step by step, and reads without waiting.
    "os": {"worker.audio.file", "worker.audio.roots", "worker.process.drain", "worker.settings.environment"},
    "time": {"worker.clock"},
    "datetime.now": {"worker.clock"},
    "importlib.import_module": set(),
    "builtins": set(),
    # Threads, sockets, processes, random numbers and logs are not for packages without I/O.
    **dict.fromkeys(["asyncio", "multiprocessing", "queue", "signal", "subprocess"], _OUTER),
    **dict.fromkeys(["http", "select", "selectors", "socket", "socketserver", "urllib.request"], _OUTER),
    "ssl": {"worker.network"} | _OUTER,
    **dict.fromkeys(["logging", "random", "secrets", "shutil", "tempfile", "uuid"], _OUTER),
    **dict.fromkeys(["concurrent", "threading"], {"worker.concurrency"} | _OUTER),
}

_GUARDED = {**LIBRARIES, **RESTRICTED}

WORKER = trees("worker")
IMPORTS = inner_imports(WORKER)


def package(module: str) -> str:
    """The package of `worker/` that a module is in, or its own name; empty for `worker` itself."""
    return module.partition(".")[2].partition(".")[0]


def part(module: str) -> str | None:
    """The subpackage that a module is in, if any: `rest` of `worker.corti.rest.http`."""
    inner = ".".join(module.split(".")[:3])
    return inner if any(other.startswith(f"{inner}.") for other in WORKER) else None


def level_faults(imports: Mapping[str, set[str]]) -> list[str]:
    """Imports of a package that is on no lower level, and imports between subpackages of one package."""
    faults = []
    for importer, targets in imports.items():
        for target in targets - {"worker"}:
            upper, lower = package(importer), package(target)
            if upper == lower:
                parts = {part(importer), part(target)} - {None}
                wrong = len(parts) > 1
            else:
                wrong = LEVEL[upper] <= LEVEL[lower] if upper else True
            if wrong:
                faults.append(f"{importer} imports {target}")
    return faults


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """The modules of an import cycle, if there is one."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def library_faults(all_trees: Trees) -> list[str]:
    """Imports of libraries, and of guarded parts of the standard library, where they are not allowed."""
    faults = []
    for module, tree in all_trees.items():
        names = module.split(".")
        own = {".".join(names[: depth + 1]) for depth in range(len(names))}
        for name in sorted(set(used(tree))):
            parts = name.split(".")
            prefixes = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
            rules = [_GUARDED[prefix] for prefix in prefixes if prefix in _GUARDED]
            known = bool(rules) or parts[0] == "worker" or parts[0] in sys.stdlib_module_names
            if not known or any(not own & allowed for allowed in rules):
                faults.append(f"{module} uses {name}")
    return faults


def test_every_package_has_its_level_and_says_what_it_is_for() -> None:
    found = {package(module) for module in WORKER} - {""}
    assert found == LEVEL.keys()
    assert len(found) <= MOST_PACKAGES, "too many packages to read their list at a glance"
    assert all(ast.get_docstring(tree) for tree in WORKER.values())


def test_packages_import_only_packages_below_them() -> None:
    assert level_faults(IMPORTS) == []


def test_imports_make_no_circle() -> None:
    assert circle(IMPORTS) == []


def test_each_library_stays_in_its_adapter() -> None:
    assert library_faults(WORKER) == []


def test_the_sandbox_and_what_it_tests_share_nothing() -> None:
    for part, others in ("ops/sandbox", {"worker", "tests"}), ("worker", {"ops", "tests"}):
        for module, tree in trees(part).items():
            assert not {name.partition(".")[0] for name in used(tree)} & others, module


def test_every_module_can_be_read_at_one_sitting() -> None:
    for part in "worker", "ops", "tests/unit":
        for file in (ROOT / part).rglob("*.py"):
            lines = len(file.read_text().splitlines())
            assert lines <= MAX_LINES, f"{file.relative_to(ROOT)} has {lines} lines: it is two modules"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("worker.contract.job", "import worker.jobs.retry"),
        ("worker.contract.job", "def f():\n    from worker.protocol import session"),
        ("worker.protocol.session", "from worker.settings import load"),
        ("worker.telemetry.health", "from worker.process.app import Application"),
        ("worker.jobs.runner", "from worker.store import ledger"),
        ("worker.audio.source", "from worker.corti.rest import http"),
        ("worker.corti.stream.pacer", "from worker.corti.rest.http import refusal"),
        ("worker.store.ledger.cap", "from worker.store.token_cache.store import TokenStore"),
    ],
)
def test_the_walk_notices_a_wrong_direction(module: str, source: str) -> None:
    changed = inner_imports({**WORKER, module: ast.parse(source)})
    assert len(level_faults(changed)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("worker.jobs.runner", "import requests"),
        ("worker.store.token_cache.cache", "from cryptography.fernet import Fernet"),
        ("worker.process.app", "from os import environ"),
        ("worker.protocol.session", "import time"),
        ("worker.jobs.runner", "started = datetime.now(UTC)"),
        ("worker.jobs.retry", "import random"),
        ("worker.jobs.ingress", "import logging"),
        ("worker.contract.job", "from urllib import request"),
        ("worker.process.app", "import numpy"),
        ("worker.process.app", "os = __import__('os')"),
        ("worker.process.app", "os = importlib.import_module('os')"),
    ],
)
def test_the_walk_notices_a_library_out_of_place(module: str, source: str) -> None:
    assert len(library_faults({module: ast.parse(source)})) == 1


def test_the_walk_notices_a_circle() -> None:
    changed = inner_imports(
        {**WORKER, "worker.contract.errors": ast.parse("from worker.jobs.ports import Publisher")}
    )
    assert "worker.contract.errors" in circle(changed)
