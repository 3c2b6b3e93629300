"""Addresses of endpoints: http or https, a host, perhaps a port, a path, a name and a password."""

import ipaddress
import re
from typing import Final, NamedTuple

from mcp_memory.text.patterns import Pattern

_PORTS: Final = {"http": 80, "https": 443}
_PLACE: Final = Pattern(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[^\[\]:]+))(?::(?P<port>\d*))?", re.IGNORECASE)
_NUMBERS: Final = Pattern(r"[\d.]+")
_OUTSIDE: Final = frozenset(' <>"\\^`{|}%')
"""What no host has in it."""


class Address(NamedTuple):
    """An address in its parts; `host` is ASCII, `path` has no slash at its end."""

    scheme: str
    host: str
    port: int
    path: str
    username: str | None
    password: str | None

    def __str__(self) -> str:
        """The address without the name and password that it may carry."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def parse_address(url: str) -> Address | None:
    """The address of `url`; None where it is none, or has a query or a fragment."""
    url = url.strip()
    if not url.isprintable() or "?" in url or "#" in url:
        return None
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    person, _, place = place.rpartition("@")
    try:
        found = _PLACE.fullmatch(place)
        host = _host(found["six"], found["host"]) if found else ""
        port = int(found["port"] or 0) if found else 0
    except ValueError:
        return None
    scheme = scheme.lower()
    if scheme not in _PORTS or not host or port > 65_535:
        return None
    username, colon, password = person.partition(":")
    return Address(
        scheme=scheme,
        host=host,
        port=port or _PORTS[scheme],
        path=f"{slash}{path}".rstrip("/"),
        username=username or None,
        password=password if colon else None,
    )


def _host(six: str | None, name: str) -> str:
    """The host as it is looked up.

    Raises:
        ValueError: it can be none.
    """
    if six is not None:
        return str(ipaddress.IPv6Address(six))
    host = name.encode("idna").decode().lower()
    if _OUTSIDE.intersection(host):
        raise ValueError("no host")
    return str(ipaddress.IPv4Address(host)) if _NUMBERS.fullmatch(host) else host
