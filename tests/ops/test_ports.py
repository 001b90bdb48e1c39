"""A claimed port stays ours over a server's restart: no other claim and no outgoing connection gets it."""

import socket
from pathlib import Path

import pytest

from ops.lib import ports
from ops.lib.ports import NoFreePortError, PortClaim, is_port_free


def test_claims_do_not_overlap() -> None:
    first, second = PortClaim(5), PortClaim(5)
    assert len(set(first.ports) | set(second.ports)) == 10
    first.release()
    second.release()


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(kernel.read_text().split()[0]) if kernel.exists() else 32_768
    claim = PortClaim(20)
    assert all(port < lowest for port in claim.ports)
    claim.release()


def test_a_claimed_port_cannot_be_claimed_again_until_released(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = PortClaim()
    monkeypatch.setattr(ports, "_candidates", lambda: list(claim.ports))
    with pytest.raises(NoFreePortError, match=r"needed 1 free ports .* found 0; end old servers"):
        PortClaim()
    claim.release()
    claim.release()
    again = PortClaim()
    assert again.ports == claim.ports
    again.release()


def test_a_port_that_something_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_port_free(server.getsockname()[1])
