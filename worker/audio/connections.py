"""The connections of downloads: made only to allowed addresses, and abandoned when the job is interrupted."""

import ssl
from collections.abc import Callable
from functools import partial
from socket import SOCK_STREAM
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.audio.blocking import BlockingCalls
from worker.audio.sockets import PatientSocket, PatientTlsSocket, Wait, connected, current
from worker.contract.errors import PermanentError, Reason, TransientError
from worker.network.hosts import HostRules

#: To how many hosts, and how many connections to each of them, are kept open for later downloads.
_HOSTS, _KEPT = 4, 16


class Connector:
    """Makes connections.

    Args:
        rules: Which hosts are allowed.
        calls: Makes look-ups of names.
        resolve: Looks up names, as `socket.getaddrinfo` does.
    """

    def __init__(
        self, rules: HostRules, calls: BlockingCalls, resolve: Callable[[str, int, int, int], list[Any]]
    ) -> None:
        self._rules = rules
        self._calls = calls
        self._resolve = resolve

    def connect(self, host: str, port: int, *, to_proxy: bool) -> PatientSocket:
        """Connect to the first address that is allowed and answers.

        Args:
            host: Name or address.
            port: Of TCP.
            to_proxy: Whether the host is the operator's proxy; then any address is allowed.
        """
        wait = current()
        allowed = [
            (family, address)
            for family, address in self._addresses(host, port, wait)
            if to_proxy or self._rules.permits(host, address[0])
        ]
        if not allowed:
            raise forbidden()
        failure = "TimeoutError"
        for tried, (family, address) in enumerate(allowed):
            try:
                sock = connected(family, address, wait, wait.left / (len(allowed) - tried))
            except OSError as error:
                failure = type(error).__name__
                continue
            # Check the address that the connection has, not the one that was asked for.
            if to_proxy or self._rules.permits(host, sock.getpeername()[0]):
                return sock
            sock.close()
            raise forbidden()
        raise TransientError(
            Reason.AUDIO_UNREACHABLE, f"no connection to the audio's server could be made ({failure})"
        )

    def _addresses(self, host: str, port: int, wait: Wait) -> list[tuple[int, Any]]:
        look_up = partial(self._resolve, host.strip("[]"), port, 0, SOCK_STREAM)
        try:
            found = self._calls.call(look_up, wait.check)
        except (OSError, UnicodeError) as error:
            raise TransientError(
                Reason.AUDIO_UNREACHABLE,
                f"the name of the audio's server could not be resolved ({type(error).__name__})",
            ) from None
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def forbidden() -> PermanentError:
    """The error for a host that is not allowed. Its text does not show the host, which the producer wrote."""
    return PermanentError(
        Reason.AUDIO_UNREACHABLE,
        "audio.uri, or where it redirects to, is on a host that this worker may not ask: see "
        "CORTI_WORKER_AUDIO_HOSTS; without it, hosts must have a public address",
    )


class GuardedAdapter(HTTPAdapter):
    """An adapter for `requests` whose connections a `Connector` makes.

    Args:
        rules: See `Connector`.
        calls: See `Connector`.
        resolve: See `Connector`.
        context: TLS settings, for this adapter alone: it changes their socket class to `PatientTlsSocket`.
    """

    def __init__(
        self,
        rules: HostRules,
        calls: BlockingCalls,
        resolve: Callable[[str, int, int, int], list[Any]],
        context: ssl.SSLContext,
    ) -> None:
        context.sslsocket_class = PatientTlsSocket
        self._context = context
        self._pools = _pools(Connector(rules, calls, resolve))
        # An empty pool makes another connection: waiting until one is returned would have no time limit.
        super().__init__(pool_connections=_HOSTS, pool_maxsize=_KEPT, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*args, **kwargs)
        self._guard(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self._context, **kwargs)
        self._guard(manager)
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: PreparedRequest,
        verify: Any,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
    ) -> Any:
        """See `HTTPAdapter.build_connection_pool_key_attributes`: our context, whatever else is asked for."""
        place, _ = super().build_connection_pool_key_attributes(request, True, None)
        return place, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, *_: Any) -> None:
        """See `HTTPAdapter.cert_verify`. Does nothing: the context has the CAs; they are not loaded again."""

    def _guard(self, manager: PoolManager) -> None:
        manager.pool_classes_by_scheme = self._pools


def _pools(connector: Connector) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3's pools, whose connections are made by the connector."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> PatientSocket:
            return connector.connect(self._dns_host, self.port, to_proxy=self.proxy is not None)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> PatientSocket:
            return connector.connect(self._dns_host, self.port, to_proxy=self.proxy is not None)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
