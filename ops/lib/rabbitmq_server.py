"""A real RabbitMQ node in a temporary directory, for tests, demo and benchmarks."""

import base64
import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from ops.lib import children
from ops.lib.ports import PortClaim, is_port_free
from ops.lib.process import Server, ServerError, ServerProcess
from ops.lib.rabbitmq_files import NodePorts, environment, find_rabbitmq, write_configuration

_START_TIMEOUT_S = 60.0
_CTL_TIMEOUT_S = 60.0
_HTTP_TIMEOUT_S = 10.0
_KILL_TIMEOUT_S = 10.0
_POLL_S = 0.01


class QueueDepth(NamedTuple):
    """Numbers of messages in one queue: ready for delivery, and delivered but not acknowledged."""

    ready: int
    unacknowledged: int


class RabbitMqServer(Server):
    """One RabbitMQ node, to start, stop, kill and freeze; it keeps its ports over restarts.

    Use it as a context manager, or call `start` and later `close`. A start takes about 5 s.

    Args:
        prometheus: Serve metrics at `prometheus_url`.
        consumer_timeout_ms: Close channels whose consumer leaves a message unacknowledged for longer.
        channel_tick_interval_ms: Interval of the check for such consumers; RabbitMQ's default is a minute.
        settings: Further lines of rabbitmq.conf.

    Raises:
        FileNotFoundError: RabbitMQ is not installed.
    """

    def __init__(
        self,
        *,
        prometheus: bool = False,
        consumer_timeout_ms: int | None = None,
        channel_tick_interval_ms: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        scripts = find_rabbitmq()
        if scripts is None:
            raise FileNotFoundError(self.available()[1])
        self._claim = PortClaim(5)
        self.ports = NodePorts(*self._claim.ports)
        # The interpreter removes it at its exit if `close` was not called.
        self._folder = tempfile.TemporaryDirectory(prefix="corti-rabbitmq-", ignore_cleanup_errors=True)
        self._directory = Path(self._folder.name)
        self._scripts = scripts
        self._env = environment(self._directory, self.ports)
        advanced = {
            "consumer_timeout": consumer_timeout_ms,
            "channel_tick_interval": channel_tick_interval_ms,
        }
        write_configuration(
            self._directory,
            self.ports,
            prometheus=prometheus,
            advanced={name: value for name, value in advanced.items() if value is not None},
            settings=settings or {},
        )
        log = self._directory / "server.log"
        # Otherwise the node starts epmd itself, as a daemon with an unknown pid that never ends.
        self._epmd = ServerProcess("RabbitMQ's port mapper", ["epmd"], log=log, env=self._env)
        self._node = ServerProcess("RabbitMQ", [str(scripts / "rabbitmq-server")], log=log, env=self._env)

    @staticmethod
    def available() -> tuple[bool, str]:
        """Whether RabbitMQ is installed, and if not, what to do."""
        if find_rabbitmq() is not None:
            return True, ""
        return False, "RabbitMQ is not installed: on Debian run `apt-get install rabbitmq-server`"

    @property
    def url(self) -> str:
        """AMQP URL of the default virtual host."""
        return self.vhost_url("/")

    @property
    def prometheus_url(self) -> str:
        """URL of the node's metrics, if it was made with `prometheus=True`."""
        return f"http://127.0.0.1:{self.ports.prometheus}/metrics"

    @property
    def pid(self) -> int:
        """Process id of the node's start script, the leader of the node's process group.

        Raises:
            ServerError: The node does not run.
        """
        return self._node.pid

    @property
    def running(self) -> bool:
        """Whether the node's process runs, also while it is paused or after `stop_app`."""
        return self._node.running

    def start(self) -> Self:
        """Start the node and wait until it accepts AMQP connections and management requests.

        Raises:
            ServerError: It ended, or was not ready within 60 s.
        """
        self._epmd.start(self._epmd_answers, timeout_s=_START_TIMEOUT_S)
        self._node.start(self._answers, timeout_s=_START_TIMEOUT_S)
        return self

    def stop(self) -> None:
        """Shut the node down; durable queues and the ports stay for a restart."""
        self._node.stop()
        self._epmd.stop()

    def kill(self) -> None:
        """End the node with SIGKILL and wait until its ports are free.

        Raises:
            ServerError: A port is still in use after 10 s.
        """
        self._node.kill()
        # The node is a child of the start script, so this process cannot wait for it directly.
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while not all(map(is_port_free, self.ports.of_node)):
            if time.monotonic() > deadline:
                raise ServerError(f"a killed RabbitMQ still holds its ports {self.ports}; look for beam.smp")
            time.sleep(_POLL_S)

    def restart(self) -> Self:
        """Start the node again on the same ports; stop it first if it runs.

        Takes about 12 s; `kill` and `start` together take about 7 s.
        """
        self._node.stop()
        return self.start()

    def pause(self) -> None:
        """See `Server`."""
        self._node.pause()

    def resume(self) -> None:
        """See `Server`."""
        self._node.resume()

    def stop_app(self) -> None:
        """Stop the broker but not its Erlang node, as an operator does for maintenance."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """Start the broker again after `stop_app`."""
        self.ctl("start_app")

    def close_all_connections(self, reason: str = "closed by a test") -> None:
        """Let the broker close the connections of all clients."""
        # Without --global only the connections of the virtual host "/" are closed.
        self.ctl("close_all_connections", "--global", reason)

    def queue_depths(self, vhost: str = "/") -> dict[str, QueueDepth]:
        """The exact depth of each queue of a virtual host, by queue name; takes about 1 s."""
        columns = ("name", "messages_ready", "messages_unacknowledged")
        answer = self.ctl("--vhost", vhost, "--silent", "--formatter", "json", "list_queues", *columns)
        return {row["name"]: QueueDepth(row[columns[1]], row[columns[2]]) for row in json.loads(answer)}

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` for this node and return its output.

        Raises:
            ServerError: The command failed.
        """
        command = [str(self._scripts / "rabbitmqctl"), "--node", self.ports.node_name, *arguments]
        pipe = children.PIPE
        done = children.run(command, env=self._env, timeout=_CTL_TIMEOUT_S, stdout=pipe, stderr=pipe)
        if done.returncode != 0:
            raise ServerError(
                f"rabbitmqctl {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout}"
            )
        return done.stdout

    def vhost_url(self, vhost: str) -> str:
        """AMQP URL of a virtual host."""
        path = vhost if vhost == "/" else quote(vhost, safe="")
        return f"amqp://guest:guest@127.0.0.1:{self.ports.amqp}/{path}"

    def add_vhost(self, vhost: str) -> str:
        """Create a virtual host with all permissions for the user guest; return its AMQP URL."""
        self.http("PUT", f"/api/vhosts/{quote(vhost, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.http("PUT", f"/api/permissions/{quote(vhost, safe='')}/guest", everything)
        return self.vhost_url(vhost)

    def delete_vhost(self, vhost: str) -> None:
        """Delete a virtual host and its queues, and close its connections."""
        self.http("DELETE", f"/api/vhosts/{quote(vhost, safe='')}")

    def http(self, method: str, path: str, body: object = None) -> Any:
        """Send a request to the management API and return the decoded JSON body, or `None` without a body.

        Statistics in the replies may be up to 5 s old.

        Raises:
            ServerError: The status is not 2xx.
            OSError: No connection, or no reply within 10 s.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.management, timeout=_HTTP_TIMEOUT_S)
        login = base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if not response.status < http.client.MULTIPLE_CHOICES:
            raise ServerError(f"RabbitMQ refused {method} {path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None

    def close(self) -> None:
        """End the node and delete its files; it cannot be started again."""
        # Killed, because no data are kept and `stop` waits 5 s for the management plugin.
        self.kill()
        self._epmd.stop()
        self._claim.release()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            # A reply alone is not enough: plugins start before the AMQP listener.
            listeners = self.http("GET", "/api/overview")["listeners"]
        except (OSError, http.client.HTTPException, ServerError):
            return False
        return any(one["port"] == self.ports.amqp for one in listeners)

    def _epmd_answers(self) -> bool:
        names = subprocess.run(["epmd", "-names"], env=self._env, capture_output=True, check=False)
        return names.returncode == os.EX_OK
