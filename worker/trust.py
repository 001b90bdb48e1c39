"""Whom a connection trusts, what it shows of itself, and in words why TLS failed.

Every connection verifies the chain of the server's certificate and the host name in it. There is no setting
that switches that off: a worker that talks to an impostor hands out its password, and consultations.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

#: OpenSSL's codes of a refused certificate (X509_V_ERR_*), and what they mean.
_REFUSED = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself and not trusted",
    19: "comes from an authority that is not trusted",
    20: "comes from an authority that is not trusted",
    21: "comes from an authority that is not trusted",
    62: "is for another host name",
    64: "is for another address",
}
_WANTS_OURS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "UNKNOWN_CA", "BAD_CERTIFICATE")


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


def tls_fault(error: BaseException) -> str | None:
    """Why TLS failed, in words without any value; None where something else did.

    Args:
        error: As a library raised it, perhaps around the error that tells.
    """
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"its certificate {_REFUSED.get(link.verify_code, 'is refused')}"
        if isinstance(link, ssl.SSLError):
            if any(alert in str(link.reason or link) for alert in _WANTS_OURS):
                return "it asks for a client certificate, and got none that it takes"
            # In TLS 1.3 a server refuses us after our side of the handshake, and the alert may be lost.
            return "it broke TLS off; perhaps it asks for a client certificate"
    return None


def broker_tls_fault(error: BaseException) -> str | None:
    """The same of a connection to the broker, with what to look at."""
    fault = tls_fault(error)
    return fault and f"{fault}; see CORTI_WORKER_BROKER_CA_FILE and what is beside it"


def authorities(ca_file: str | None) -> str:
    """Whom HTTP and streams trust: a PEM file, or a directory as OpenSSL has it.

    The file that is set; else the system's store (with OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR); else, in a
    container without one, certifi's list.
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


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _present(**files: Path | None) -> dict[str, str]:
    return {name: str(file) for name, file in files.items() if file is not None}
