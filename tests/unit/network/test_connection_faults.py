"""Why a connection fails, in words: refused certificates and refused users, without any secret."""

import ssl

import pytest
import redis
from amqp import exceptions as amqp

from worker.network.connection_faults import broker_fault, connection_fault, redis_fault, tls_fault

REFUSED = "it refuses the worker's user (password, virtual host or rights); see ops/docs/permissions.md"


def refused_certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: secret.example")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "is not valid yet"),
        (10, "has expired"),
        (18, "is signed by itself and not trusted"),
        (19, "comes from an authority that is not trusted"),
        (20, "comes from an authority that is not trusted"),
        (21, "comes from an authority that is not trusted"),
        (62, "is for another host name"),
        (64, "is for another address"),
        (999, "is refused"),
    ],
)
def test_each_fault_of_a_certificate_has_its_words(code: int, words: str) -> None:
    assert tls_fault(refused_certificate(code)) == f"its certificate {words}"


@pytest.mark.parametrize(
    "alert",
    ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_UNKNOWN_CA"],
)
def test_a_server_that_wants_our_certificate_says_so(alert: str) -> None:
    error = ssl.SSLError(1, alert)
    assert tls_fault(error) == "it asks for a client certificate, and got none that it takes"


def test_a_server_that_ends_tls_without_a_reason_may_want_our_certificate() -> None:
    assert tls_fault(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == (
        "it broke TLS off; perhaps it asks for a client certificate"
    )


def test_the_cause_may_lie_within_other_errors() -> None:
    outer = redis.ConnectionError("Error 1 connecting to secret.example")
    outer.__cause__ = OSError("in between")
    outer.__cause__.__context__ = refused_certificate(10)
    assert tls_fault(outer) == "its certificate has expired"


def test_errors_in_a_circle_are_looked_at_once() -> None:
    first, second = OSError("first"), OSError("second")
    first.__context__, second.__context__ = second, first
    assert connection_fault(first) is None


@pytest.mark.parametrize(
    "error",
    [
        redis.AuthenticationError("WRONGPASS of corti-worker"),
        redis.exceptions.NoPermissionError("no permissions to run 'blmove'"),
        amqp.AccessRefused("access to queue 'corti.work' refused"),
        amqp.NotAllowed("access to vhost refused"),
    ],
)
def test_a_user_who_is_refused_is_told_where_to_look(error: Exception) -> None:
    assert connection_fault(error) == broker_fault(error) == redis_fault(error) == REFUSED


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), redis.ConnectionError("away")])
def test_faults_that_pass_by_themselves_have_no_words(error: Exception) -> None:
    assert (connection_fault(error), broker_fault(error), redis_fault(error)) == (None, None, None)


def test_faults_of_tls_name_the_settings_of_their_server() -> None:
    error = refused_certificate(62)
    begin = "its certificate is for another host name; see CORTI_WORKER"
    assert broker_fault(error) == f"{begin}_BROKER_CA_FILE and what is beside it"
    assert redis_fault(error) == f"{begin}_REDIS_CA_FILE and what is beside it"
