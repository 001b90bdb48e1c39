"""Which certificates a connection trusts, and which certificate it shows.

Every connection verifies the chain of the server's certificate and the host name in it. There is no setting
that switches that off: a worker that talks to an impostor hands out its password, and consultations.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi


@dataclass(frozen=True, slots=True)
class Trust:
    """The files of one server's connections.

    Attributes:
        ca_file: Authorities to trust, instead of the system's.
        cert_file: Our certificate, where the server asks for one.
        key_file: Its key; None where it lies in `cert_file`, too.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def for_redis(self) -> dict[str, Any]:
        """Arguments of redis-py's connections, and what kombu calls `ssl` for Redis."""
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_check_hostname": True,
            **_present(ssl_ca_certs=self.ca_file, ssl_certfile=self.cert_file, ssl_keyfile=self.key_file),
        }

    def for_rabbitmq(self) -> dict[str, Any]:
        """What kombu calls `ssl` for RabbitMQ."""
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            # kombu puts the URL's host name here. Without the key py-amqp does not look at the name at all.
            "server_hostname": None,
            **_present(ca_certs=self.ca_file, certfile=self.cert_file, keyfile=self.key_file),
        }


def authorities(ca_file: str | None) -> str:
    """The authorities that HTTP and streams trust: a PEM file, or a directory in OpenSSL's format.

    This is `ca_file` if it is set; else the system's store (with OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR);
    else, in a container without a store, certifi's list.
    """
    if ca_file:
        return ca_file
    system = ssl.get_default_verify_paths()
    if system.cafile:
        return system.cafile
    if system.capath and any(Path(system.capath).iterdir()):
        return system.capath
    return certifi.where()


def context(ca_file: str | None) -> ssl.SSLContext:
    """TLS settings that trust `authorities`."""
    place = authorities(ca_file)
    if Path(place).is_dir():
        return ssl.create_default_context(capath=place)
    return ssl.create_default_context(cafile=place)


def _present(**files: Path | None) -> dict[str, str]:
    return {name: str(file) for name, file in files.items() if file is not None}
