"""Finds RabbitMQ's programs; makes the configuration files and the environment of one node."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_DEBIAN_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_COOKIE = "corti-worker-fixture"


class NodePorts(NamedTuple):
    """The ports of 127.0.0.1 that one node uses."""

    amqp: int
    distribution: int
    epmd: int
    management: int
    prometheus: int

    @property
    def of_node(self) -> tuple[int, ...]:
        """The ports that the node itself listens on; `epmd` belongs to the port mapper."""
        return (self.amqp, self.distribution, self.management, self.prometheus)

    @property
    def node_name(self) -> str:
        """Name of the Erlang node; the port makes it unique on this machine."""
        return f"corti{self.amqp}@localhost"


def find_rabbitmq() -> Path | None:
    """The directory of RabbitMQ's scripts, or `None` if RabbitMQ or epmd is not installed.

    Debian's `rabbitmq-server` on the PATH is a wrapper that changes to the user rabbitmq, who may not use our
    directory. The scripts under /usr/lib do not change the user.
    """
    if shutil.which("epmd") is None:
        return None
    if (_DEBIAN_SCRIPTS / "rabbitmq-server").exists():
        return _DEBIAN_SCRIPTS
    found = shutil.which("rabbitmq-server")
    if found is None:
        return None
    directory = Path(found).resolve().parent
    return directory if (directory / "rabbitmqctl").exists() else None


def environment(directory: Path, ports: NodePorts) -> dict[str, str]:
    """The environment variables for the node, its port mapper (epmd) and `rabbitmqctl`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return kept | {
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "RABBITMQ_NODENAME": ports.node_name,
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        # Otherwise the node listens for cluster peers on all interfaces.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


def write_configuration(
    directory: Path,
    ports: NodePorts,
    *,
    prometheus: bool,
    advanced: Mapping[str, int],
    settings: Mapping[str, str],
) -> None:
    """Write rabbitmq.conf, advanced.config, enabled_plugins and the Erlang cookie into `directory`."""
    lines = {
        "listeners.tcp.1": f"127.0.0.1:{ports.amqp}",
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": str(ports.management),
        # A laptop's nearly full disk must not block publishing in a test.
        "disk_free_limit.absolute": "50MB",
        "log.console": "true",
        "log.console.level": "warning",
    }
    plugins = ["rabbitmq_management"]
    if prometheus:
        plugins.append("rabbitmq_prometheus")
        lines |= {"prometheus.tcp.ip": "127.0.0.1", "prometheus.tcp.port": str(ports.prometheus)}
    lines |= settings
    (directory / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in lines.items()))
    # These settings are not in the schema of rabbitmq.conf, and a node does not start with unknown ones.
    terms = ",".join(f"{{{name},{value}}}" for name, value in advanced.items())
    (directory / "advanced.config").write_text(f"[{{rabbit,[{terms}]}}].\n")
    (directory / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    # The node and rabbitmqctl read the cookie from HOME, so it is not needed on a command line.
    cookie = directory / ".erlang.cookie"
    cookie.write_text(_COOKIE)
    cookie.chmod(0o400)
