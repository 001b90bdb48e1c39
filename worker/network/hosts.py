"""Which hosts audio may be downloaded from: listed ones, or any with a public address.

A producer names the host, and a server may redirect to another one. Without a rule both could make the worker
fetch what can be reached only inside its network, such as a cloud's metadata service or an admin page.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Stands in the list for any host with a public address.
PUBLIC = "public"

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
#: A last label like this makes a name another spelling of an IPv4 address: `127.1`, `0x7f.1`, `2130706433`.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Our own table, because that of `ipaddress` changes with each of Python's releases.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by providers' customers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
#: Where public addresses of IPv6 lie, and what in there is not public.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
#: Each address in here stands for the IPv4 address in its last 32 bits (RFC 6052). In 6to4 (RFC 3056)
#: addresses it is in bits 16 to 47.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class HostRules:
    """The hosts and addresses that are allowed.

    Attributes:
        names: Host names that may have any address, also a private one: to list a name is to trust it.
        domains: As `names`, for all names that end in these (each begins with a dot).
        networks: Addresses that are allowed whatever the name.
        public: Whether every other host is allowed if its address is public.
    """

    names: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()
    networks: tuple[_Network, ...] = ()
    public: bool = True

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a list that is separated by commas; None stands for any public address.

        Raises:
            ValueError: An item is none of the things that may be listed; the text says which things may.
        """
        if text is None:
            return cls()
        names: set[str] = set()
        domains: list[str] = []
        networks: list[_Network] = []
        items = [item.strip().lower().rstrip(".") for item in text.split(",")]
        for item in items:
            try:
                networks.append(ipaddress.ip_network(item))
                continue
            except ValueError:
                pass
            if not _NAME.fullmatch(item) or _is_number(item):
                raise ValueError(
                    "expected a list separated by commas of host names (ehr.example.org), names that begin "
                    "with *. (*.example.org), addresses, networks (10.1.0.0/16, without host bits) and the "
                    "word public; no schemes and no ports"
                )
            if item.startswith("*."):
                domains.append(item[1:])
            elif item != PUBLIC:
                names.add(item)
        return cls(frozenset(names), tuple(domains), tuple(networks), PUBLIC in items)

    def lists(self, host: str) -> bool:
        """Whether a host is listed by its name."""
        name = host.lower().rstrip(".")
        return name in self.names or name.endswith(self.domains)

    def permits(self, host: str, address: str) -> bool:
        """Whether a host may be connected to at this address."""
        if self.lists(host):
            return True
        found = _effective(ipaddress.ip_address(address))
        if any(found in network for network in self.networks if network.version == found.version):
            return True
        return self.public and _is_public(found)

    def may_resolve(self, host: str) -> bool:
        """Whether it is worth asking for a host's addresses: some address could be allowed."""
        return self.public or bool(self.networks) or self.lists(host)

    def permits_by_proxy(self, host: str) -> bool:
        """Whether a proxy may be asked for a host. Only the proxy resolves the host's name.

        An address in a URL is checked as always. A name that is not listed passes only if it can be public:
        a name without a dot, or one that ends in `.localhost`, means a host near the proxy.
        """
        name = host.lower().rstrip(".")
        if self.lists(name):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return self.public and "." in name and not name.endswith(".localhost") and not _is_number(name)
        return self.permits(name, name)


def _is_number(name: str) -> bool:
    return bool(_NUMBER.fullmatch(name.rpartition(".")[2]))


def _effective(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, if there is one: packets end up there."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
