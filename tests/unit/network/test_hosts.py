"""Which hosts audio may be downloaded from."""

import pytest

from worker.network.hosts import HostRules

PUBLIC = ["8.8.8.8", "193.99.144.80", "2a02:2e0:3fe:1001:302::", "64:ff9b::8.8.8.8", "2002:808:808::1"]
NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_without_a_list_every_public_address_is_allowed(address: str) -> None:
    assert HostRules.parse(None).permits("host.example", address)
    assert HostRules.parse(None).may_resolve("host.example")


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_is_allowed_even_if_embedded_in_another(address: str) -> None:
    assert not HostRules.parse(None).permits("host.example", address)
    assert not HostRules.parse("public,other.example,192.168.44.0/24").permits("host.example", address)


def test_a_listed_name_may_have_any_address() -> None:
    rules = HostRules.parse("ehr.example.org, *.Clinic.Example.")
    for host in "ehr.example.org", "EHR.Example.ORG.", "store.clinic.example", "a.b.clinic.example":
        assert rules.permits(host, "10.0.0.1")
        assert rules.permits(host, "8.8.8.8")
        assert rules.permits_by_proxy(host)
    for host in "clinic.example", "notclinic.example", "ehr.example.org.evil.example", "x.ehr.example.org":
        assert not rules.permits(host, "8.8.8.8"), "a list must refuse every host that is not on it"
        assert not rules.may_resolve(host)
        assert not rules.permits_by_proxy(host)


def test_a_listed_network_is_allowed_whatever_the_name() -> None:
    rules = HostRules.parse("10.1.0.0/16,192.0.2.7,fd00::/8,fe80::7")
    for address in "10.1.255.1", "192.0.2.7", "fd00::9", "::ffff:10.1.0.1", "64:ff9b::10.1.0.1", "fe80::7":
        assert rules.permits("any.example", address)
    for address in "10.2.0.1", "192.0.2.8", "fc00::1", "8.8.8.8":
        assert not rules.permits("any.example", address)
    assert rules.may_resolve("any.example")


def test_public_addresses_can_be_allowed_beside_listed_ones() -> None:
    rules = HostRules.parse("public,minio.hospital")
    assert rules.permits("host.example", "8.8.8.8")
    assert rules.permits("minio.hospital", "10.0.0.1")
    assert not rules.permits("host.example", "10.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a,,b",
        "*",
        "*.",
        "a.*.b",
        "https://a.example",
        "a.example:443",
        "10.1.2.3/16",
        "10.1",
        "0x7f.1",
        "2130706433",
        "a b",
        "a/b",
        "ünlaut.example",
        "-a.example",
        "[::1]",
        "a..b",
    ],
)
def test_a_malformed_list_of_hosts_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="expected a list separated by commas of host names"):
        HostRules.parse(text)


def test_of_a_proxy_only_names_that_can_be_public_are_asked() -> None:
    rules = HostRules.parse(None)
    for host in "host.example", "8.8.8.8", "2a02:2e0:3fe:1001:302::":
        assert rules.permits_by_proxy(host)
    for host in NOT_PUBLIC:
        assert not rules.permits_by_proxy(host), host
    # Local names, and spellings of addresses that a proxy's resolver might accept.
    for host in (
        "localhost",
        "a.localhost",
        "LOCALHOST.",
        "printer",
        "127.1",
        "0x7f.0.0.1",
        "1.2.3.0x",
        "2130706433",
    ):
        assert not rules.permits_by_proxy(host), host
