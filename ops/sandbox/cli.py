"""Run a local server that implements the Corti API and can inject faults."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ops.sandbox.faults import parse_faults
from ops.sandbox.settings import Settings
from ops.sandbox.stream.script import Script, ScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.sandbox.faults import Fault


def _faults(text: str) -> list[Fault]:
    """Read one fault or a list of faults, from JSON text or from a JSON file."""
    try:
        content = text if text.lstrip().startswith(("{", "[")) else Path(text).read_text(encoding="utf-8")
        return parse_faults(json.loads(content))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _client(text: str) -> tuple[str, tuple[str, str]]:
    realm, identity, secret = [*text.split(":", 2), "", ""][:3]
    if not (realm and identity and secret):
        raise argparse.ArgumentTypeError("expected REALM:ID:SECRET")
    return realm, (identity, secret)


def _script(text: str) -> Script:
    try:
        return Script.load(Path(text))
    except (OSError, ScriptError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; the README describes every option."""
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="http and ws port; 0 picks a free port")
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--tls-port", type=int, default=0, help="https and wss port; 0 picks a free port")
    tls.add_argument("--no-tls", action="store_true")
    parser.add_argument("--tenant", action="append", help="tenant and realm; may be repeated; default base")
    parser.add_argument("--client-id", default="sandbox")
    parser.add_argument("--client-secret", default="sandbox-secret")
    parser.add_argument(
        "--client",
        type=_client,
        action="append",
        default=[],
        metavar="REALM:ID:SECRET",
        help="add a realm that has its own client; may be repeated",
    )
    parser.add_argument("--token-seconds", type=_positive, default=300.0)
    text = parser.add_mutually_exclusive_group()
    text.add_argument("--script", type=_script, help="JSON file with the transcript lines to send")
    text.add_argument("--recognise", action="store_true", help="transcribe English speech with pocketsphinx")
    parser.add_argument("--facts-every", type=_positive, help="seconds of audio between facts messages")
    parser.add_argument(
        "--time-scale", type=_positive, default=1.0, help="factor on the intervals in audio time"
    )
    parser.add_argument(
        "--latency",
        type=_not_negative,
        default=0.0,
        help="seconds from the end of a segment to its transcript",
    )
    parser.add_argument("--config-deadline", type=_positive, default=10.0)
    parser.add_argument("--state-dir", type=Path, help="directory for the CA bundle")
    parser.add_argument(
        "--faults", type=_faults, action="append", default=[], help="faults as JSON, or a JSON file"
    )
    parser.add_argument("--access-log", action="store_true", help="log requests to stderr")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the sandbox until a stop signal; return the exit status."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if options.access_log else logging.WARNING)
    settings = Settings(
        host=options.host,
        port=options.port,
        tls_port=None if options.no_tls else options.tls_port,
        tenants=tuple(options.tenant or ("base",)),
        client_id=options.client_id,
        client_secret=options.client_secret,
        clients=dict(options.client),
        token_seconds=options.token_seconds,
        script=options.script,
        recognise=options.recognise,
        facts_every=options.facts_every,
        time_scale=options.time_scale,
        latency=options.latency,
        config_deadline=options.config_deadline,
        state_dir=options.state_dir,
        faults=tuple(fault for group in options.faults for fault in group),
        access_log=options.access_log,
    )
    # Imported late, so that --help and option errors need not load the server and its libraries.
    from ops.sandbox.server import serve  # noqa: PLC0415

    asyncio.run(serve(settings))
    return 0
