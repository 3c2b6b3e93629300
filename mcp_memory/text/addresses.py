"""Addresses of endpoints: http or https, a host, perhaps a port, a path, a name and a password."""

from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

_PORTS: Final = {"http": 80, "https": 443}
_OUTSIDE: Final = frozenset(' \t\r\n<>"\\^`{|}%')
"""What no host has in it."""


class Address(NamedTuple):
    """An address in its parts; `path` has no slash at its end."""

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
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host or _OUTSIDE & set(host) or "?" in url or "#" in url:
        return None
    return _address(parts, host, port)


def _address(parts: SplitResult, host: str, port: int | None) -> Address:
    number = _PORTS[parts.scheme] if port is None else port
    return Address(parts.scheme, host, number, parts.path.rstrip("/"), parts.username, parts.password)
