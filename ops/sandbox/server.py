"""Run the application on a plain and a TLS port until a stop signal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from aiohttp import web

from ops.sandbox.web.app import make_app

if TYPE_CHECKING:
    from ops.sandbox.settings import Settings

# On a stop, open sockets are dropped without a closing handshake, as by a crashed server.
_SHUTDOWN_SECONDS = 0.1
_BACKLOG = 4096
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def endpoints(scheme: str, host: str, port: int) -> dict[str, str]:
    """Return the base URLs of auth, REST and streams for ``http`` or ``https`` (PROTOCOL.md 1)."""
    authority = f"{host}:{port}"
    socket_scheme = "wss" if scheme == "https" else "ws"
    return {
        "auth_url": f"{scheme}://{authority}",
        "api_url": f"{scheme}://{authority}/v2",
        "stream_url": f"{socket_scheme}://{authority}/audio-bridge/v2",
    }


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; print one line of JSON on stdout when ready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A signal that the parent process ignores stays ignored, as `nohup` requires.
    stops = [number for number in _STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in stops:
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        directory = settings.state_dir
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-sandbox-")))
        access_log: dict[str, Any] = {} if settings.access_log else {"access_log": None}
        runner = web.AppRunner(make_app(settings), shutdown_timeout=_SHUTDOWN_SECONDS, **access_log)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        info = await _listen(settings, runner, directory)
        print(json.dumps(info), flush=True)
        await stop.wait()
        for number in stops:
            loop.remove_signal_handler(number)
            # Stopping takes 0.1 s; a second signal in that time must not change the exit status.
            signal.signal(number, signal.SIG_IGN)


async def _listen(settings: Settings, runner: web.AppRunner, directory: Path) -> dict[str, Any]:
    plain_port = await _start(runner, settings.host, settings.port, None)
    info: dict[str, Any] = {
        "pid": os.getpid(),
        "tenant": settings.tenants[0],
        "tenants": [
            *settings.tenants,
            *(realm for realm in settings.clients if realm not in settings.tenants),
        ],
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "ca_file": None,
        "http": endpoints("http", settings.host, plain_port),
        "https": None,
        "stats_url": f"http://{settings.host}:{plain_port}/_sandbox/stats",
    }
    if settings.tls_port is not None:
        bundle = directory / "ca.pem"
        tls_port = await _start(runner, settings.host, settings.tls_port, _tls(settings.host, bundle))
        info["ca_file"] = str(bundle)
        info["https"] = endpoints("https", settings.host, tls_port)
    return info


async def _start(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None) -> int:
    listener = socket.create_server((host, port), backlog=_BACKLOG)
    await web.SockSite(runner, listener, ssl_context=tls, backlog=_BACKLOG).start()
    bound: int = listener.getsockname()[1]
    return bound


def _tls(host: str, bundle: Path) -> ssl.SSLContext:
    """Make a temporary CA and a server certificate; write the certificate of the CA to ``bundle``."""
    bundle.parent.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    names = dict.fromkeys((host, "localhost", "127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    authority.cert_pem.write_to_path(str(bundle))
    return context
