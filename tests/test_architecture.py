"""The layers of `worker/`: who may import whom, and which library lives where.

A module imports from lower layers; from its own layer only below layer 3, or within its own unit.
A new module must be given its place in `LAYERS`, and a new library its adapter in `LIBRARIES`.
"""

import ast
import sys
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.syntax import ROOT, Trees, inner_imports, trees, used

MAX_LINES = 250

WORDS, RULES, STORY, OUTSIDE, PROCESS = range(5)
#: Each unit and its layer. A package with a star is one unit: its modules may import each other.
LAYERS = {
    "worker": WORDS,
    "worker.arrival": WORDS,
    "worker.audit": WORDS,
    "worker.background": WORDS,
    "worker.claims": WORDS,
    "worker.clock": WORDS,
    "worker.connection_faults": WORDS,
    "worker.dead_letter": WORDS,
    "worker.errors": WORDS,
    "worker.events": WORDS,
    "worker.bell": WORDS,
    "worker.heartbeat": WORDS,
    "worker.hosts": WORDS,
    "worker.interrupt": WORDS,
    "worker.job": WORDS,
    "worker.label_values": WORDS,
    "worker.measure_kinds": WORDS,
    "worker.measures": WORDS,
    "worker.nulls": WORDS,
    "worker.refusal_words": WORDS,
    "worker.message": WORDS,
    "worker.settings*": WORDS,
    "worker.tenancy": WORDS,
    "worker.trace": WORDS,
    "worker.trust": WORDS,
    "worker.audio": RULES,
    "worker.audio.pace": RULES,
    "worker.audio.reading": RULES,
    "worker.audio.speed": RULES,
    "worker.audio.wav": RULES,
    "worker.corti": RULES,
    "worker.corti.failures": RULES,
    "worker.corti.messages": RULES,
    "worker.corti.session": RULES,
    "worker.corti.token": RULES,
    "worker.corti.transcript": RULES,
    "worker.redact": RULES,
    "worker.retry": RULES,
    "worker.account": STORY,
    "worker.delivery": STORY,
    "worker.intake": STORY,
    "worker.live": STORY,
    "worker.outbox": STORY,
    "worker.parcel": STORY,
    "worker.ports": STORY,
    "worker.redelivery": STORY,
    "worker.refusals": STORY,
    "worker.runner": STORY,
    "worker.traced": STORY,
    "worker.transcribe": STORY,
    "worker.undelivered": STORY,
    "worker.audio.blocking": OUTSIDE,
    "worker.audio.connections": OUTSIDE,
    "worker.audio.container": OUTSIDE,
    "worker.audio.downloads": OUTSIDE,
    "worker.audio.file": OUTSIDE,
    "worker.audio.library": OUTSIDE,
    "worker.audio.roots": OUTSIDE,
    "worker.audio.sockets": OUTSIDE,
    "worker.audio.source": OUTSIDE,
    "worker.audit_log": OUTSIDE,
    "worker.broker": OUTSIDE,
    "worker.broker.confirms": OUTSIDE,
    "worker.broker.consumer": OUTSIDE,
    "worker.broker.declaring": OUTSIDE,
    "worker.broker.depth": OUTSIDE,
    "worker.broker.discards": OUTSIDE,
    "worker.broker.door": OUTSIDE,
    "worker.broker.door_scripts": OUTSIDE,
    "worker.broker.envelope": OUTSIDE,
    "worker.broker.outlet": OUTSIDE,
    "worker.broker.redis_corrections": OUTSIDE,
    "worker.broker.redis_door": OUTSIDE,
    "worker.broker.redis_leases": OUTSIDE,
    "worker.broker.redis_time": OUTSIDE,
    "worker.broker.senders": OUTSIDE,
    "worker.broker.strategy": OUTSIDE,
    "worker.broker.topology": OUTSIDE,
    "worker.broker.work_queue": OUTSIDE,
    "worker.cipher": OUTSIDE,
    "worker.corti.rest*": OUTSIDE,
    "worker.corti.stream*": OUTSIDE,
    "worker.desk": OUTSIDE,
    "worker.health": OUTSIDE,
    "worker.ledger*": OUTSIDE,
    "worker.log": OUTSIDE,
    "worker.metrics": OUTSIDE,
    "worker.otel": OUTSIDE,
    "worker.token_cache*": OUTSIDE,
    "worker.__main__": PROCESS,
    "worker.app": PROCESS,
    "worker.broker_side": PROCESS,
    "worker.collector": PROCESS,
    "worker.corti_side": PROCESS,
    "worker.cli": PROCESS,
    "worker.door_process": PROCESS,
    "worker.drain": PROCESS,
    "worker.observer": PROCESS,
    "worker.process": PROCESS,
    "worker.tasks": PROCESS,
    "worker.telemetry": PROCESS,
}
#: Imports between units of layer 3 that are meant: what the broker's modules share, and the library
#: of audio, which is made of its neighbours, from calls and sockets up to sources.
SIDEWAYS = {
    **dict.fromkeys(
        [
            f"worker.broker.{name}"
            for name in (
                "confirms",
                "consumer",
                "declaring",
                "discards",
                "envelope",
                "redis_time",
                "topology",
            )
        ],
        "worker.broker.",
    ),
    "worker.broker.consumer": "worker.broker.work_queue",
    "worker.broker.envelope": "worker.broker.",
    "worker.broker.door": "worker.broker.redis_door",
    "worker.broker.door_scripts": "worker.broker.redis_door",
    "worker.broker.redis_corrections": "worker.broker.redis_leases",
    "worker.broker.senders": "worker.broker.outlet",
    **dict.fromkeys(["worker.audio.container", "worker.audio.source"], "worker.audio.library"),
    **dict.fromkeys(["worker.audio.blocking", "worker.audio.sockets"], "worker.audio."),
    **dict.fromkeys(["worker.audio.file", "worker.audio.roots"], "worker.audio."),
    "worker.audio.connections": "worker.audio.downloads",
}

_BROKER = {
    f"worker.broker.{name}"
    for name in (
        "confirms",
        "declaring",
        "depth",
        "door",
        "redis_corrections",
        "redis_door",
        "redis_leases",
        "redis_time",
        "senders",
        "work_queue",
    )
}
_OUTER = {name.rstrip("*") for name, layer in LAYERS.items() if layer >= OUTSIDE}
#: Each library outside of the standard one, and the modules or whole units that may use it.
LIBRARIES = {
    "amqp": {f"worker.broker.{name}" for name in ("confirms", "declaring", "depth", "senders")},
    "av": {"worker.audio.container"},
    "celery": {
        "worker.broker.consumer",
        "worker.broker.discards",
        "worker.broker.redis_corrections",
        "worker.broker.strategy",
        "worker.broker.work_queue",
        "worker.process",
        "worker.tasks",
    },
    "certifi": {"worker.trust"},
    "click": {"worker.cli"},
    "cryptography": {"worker.cipher", "worker.settings.kinds", "worker.token_cache.store"},
    "kombu": _BROKER,
    "opentelemetry": {"worker.otel"},
    "prometheus_client": {"worker.metrics"},
    "pydantic": {name.rstrip("*") for name, layer in LAYERS.items() if layer == WORDS} | {"worker.cli"},
    "pydantic_core": {
        "worker.audit_log",
        "worker.corti.messages",
        "worker.events",
        "worker.job",
        "worker.message",
        "worker.nulls",
    },
    "redis": {"worker.broker_side", "worker.corti_side", "worker.ledger", "worker.token_cache"} | _BROKER,
    "requests": {
        "worker.audio.connections",
        "worker.audio.downloads",
        "worker.corti.rest",
        "worker.corti_side",
    },
    "structlog": {
        f"worker.{name}"
        for name in (
            "account",
            "background",
            "delivery",
            "live",
            "outbox",
            "redelivery",
            "refusals",
            "runner",
            "undelivered",
        )
    }
    | _OUTER,
    "urllib3": {"worker.audio.connections", "worker.audio.downloads"},
    "websocket": {"worker.corti.stream.handshake"},
    "websockets": {"worker.corti.stream.frames"},
}
#: Parts of the standard library that only these may use.
RESTRICTED: Mapping[str, set[str]] = {
    # The drain may end the process whatever hangs, and only `_exit` does that.
    # And only it opens a file step by step, and reads one without waiting.
    "os": {"worker.audio.file", "worker.audio.roots", "worker.drain", "worker.settings.environment"},
    "time": {"worker.clock"},
    "datetime.now": {"worker.clock"},
    "importlib.import_module": set(),
    "builtins": set(),
    # Threads, sockets, processes, chance and other people's logs: nothing for words, rules and story.
    **dict.fromkeys(["asyncio", "concurrent", "multiprocessing", "queue", "signal", "subprocess"], _OUTER),
    **dict.fromkeys(["http", "select", "selectors", "socket", "socketserver", "urllib.request"], _OUTER),
    "ssl": {"worker.connection_faults", "worker.trust"} | _OUTER,
    **dict.fromkeys(["logging", "random", "secrets", "shutil", "tempfile", "uuid"], _OUTER),
    # But the flag by which other threads interrupt a job, which is a word of the story, is made of it.
    "threading": {"worker.background", "worker.bell", "worker.interrupt"} | _OUTER,
}

_GUARDED = {**LIBRARIES, **RESTRICTED}

WORKER = trees("worker")
IMPORTS = inner_imports(WORKER)


def unit(module: str) -> str | None:
    """The unit that a module belongs to, or None when it was given no layer."""
    package = module
    while package:
        if f"{package}*" in LAYERS:
            return f"{package}*"
        package = package.rpartition(".")[0]
    return module if module in LAYERS else None


def layer_faults(imports: Mapping[str, set[str]]) -> list[str]:
    """Imports that point to a higher layer, or sideways where that is not meant."""
    faults = []
    for importer, targets in imports.items():
        for target in targets:
            upper, lower = unit(importer) or "", unit(target) or ""
            here, there = LAYERS[upper], LAYERS[lower]
            meant = target in SIDEWAYS and importer.startswith(SIDEWAYS[target])
            sideways = here == there == OUTSIDE and upper != lower and not meant
            if there > here or sideways:
                faults.append(f"{importer} (layer {here}) imports {target} (layer {there})")
    return faults


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def library_faults(all_trees: Trees) -> list[str]:
    """Libraries, and guarded parts of the standard one, in modules that may not use them."""
    faults = []
    for module, tree in all_trees.items():
        own = {module, (unit(module) or "").rstrip("*")}
        for name in sorted(set(used(tree))):
            parts = name.split(".")
            prefixes = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
            rules = [_GUARDED[prefix] for prefix in prefixes if prefix in _GUARDED]
            known = bool(rules) or parts[0] == "worker" or parts[0] in sys.stdlib_module_names
            if not known or any(not own & allowed for allowed in rules):
                faults.append(f"{module} uses {name}")
    return faults


def test_every_module_has_its_layer() -> None:
    missing = [module for module in WORKER if unit(module) is None]
    assert missing == [], "give them their layers in LAYERS of tests/test_architecture.py"
    assert {name.rstrip("*") for name in LAYERS} - set(WORKER) == set(), "no such modules any more"


def test_imports_point_to_lower_layers() -> None:
    assert layer_faults(IMPORTS) == []


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
        ("worker.job", "import worker.retry"),
        ("worker.job", "def f():\n    from worker.corti import session"),
        ("worker.retry", "from worker.ports import Outlet"),
        ("worker.runner", "from worker import log"),
        ("worker.health", "from worker.app import Application"),
        ("worker.corti.stream.pacer", "from worker.corti.rest.http import refusal"),
        ("worker.broker.door", "from worker.broker.outlet import PatientOutlet"),
        ("worker.audio.source", "from worker.audio.container import sniff"),
    ],
)
def test_the_walk_notices_a_wrong_direction(module: str, source: str) -> None:
    changed = inner_imports({**WORKER, module: ast.parse(source)})
    assert len(layer_faults(changed)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("worker.runner", "import requests"),
        ("worker.token_cache.cache", "from cryptography.fernet import Fernet"),
        ("worker.app", "from os import environ"),
        ("worker.corti.session", "import time"),
        ("worker.runner", "started = datetime.now(UTC)"),
        ("worker.retry", "import random"),
        ("worker.intake", "import logging"),
        ("worker.job", "from urllib import request"),
        ("worker.app", "import numpy"),
        ("worker.app", "os = __import__('os')"),
        ("worker.app", "os = importlib.import_module('os')"),
    ],
)
def test_the_walk_notices_a_library_out_of_place(module: str, source: str) -> None:
    assert len(library_faults({module: ast.parse(source)})) == 1


def test_the_walk_notices_a_circle() -> None:
    changed = inner_imports({**WORKER, "worker.errors": ast.parse("from worker.ports import Outlet")})
    assert "worker.errors" in circle(changed)
