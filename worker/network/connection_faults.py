"""Says in words why a connection to a broker, Redis or a host fails, if an operator can mend that.

A library's text may hold addresses and values, so only the class of its error and OpenSSL's codes are used.
"""

import ssl
from collections.abc import Iterator

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
#: redis-py's and py-amqp's errors for a wrong password, a closed virtual host, a missing right.
_USER_REFUSED = {"AuthenticationError", "NoPermissionError", "AccessRefused", "NotAllowed"}


def connection_fault(error: BaseException) -> str | None:
    """Why a connection fails, in words without any value; None if the fault may pass by itself or is unknown.

    Args:
        error: As a library raised it; the error that says why may be its cause.
    """
    if any(type(link).__name__ in _USER_REFUSED for link in _chain(error)):
        return "it refuses the worker's user (password, virtual host or rights); see ops/docs/permissions.md"
    return tls_fault(error)


def tls_fault(error: BaseException) -> str | None:
    """Why TLS failed, in words without any value; None if something else failed.

    Args:
        error: As a library raised it; the error that says why may be its cause.
    """
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"its certificate {_REFUSED.get(link.verify_code, 'is refused')}"
        if isinstance(link, ssl.SSLError):
            # Only OpenSSL's own errors have a reason; errors that Python's code raises have none.
            reason = getattr(link, "reason", None) or str(link)
            if any(alert in reason for alert in _WANTS_OURS):
                return "it asks for a client certificate, and got none that it takes"
            # In TLS 1.3 a server refuses us after our side of the handshake, and the alert may be lost.
            return "it broke TLS off; perhaps it asks for a client certificate"
    return None


def broker_fault(error: BaseException) -> str | None:
    """Like `connection_fault`, for the broker; a TLS fault also names the settings to look at."""
    return _advised(error, "CORTI_WORKER_BROKER_CA_FILE")


def redis_fault(error: BaseException) -> str | None:
    """Like `broker_fault`, for the Redis that holds the worker's state."""
    return _advised(error, "CORTI_WORKER_REDIS_CA_FILE")


def _advised(error: BaseException, setting: str) -> str | None:
    tls = tls_fault(error)
    return f"{tls}; see {setting} and what is beside it" if tls else connection_fault(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
