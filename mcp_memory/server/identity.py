"""Who the user of a call is. With `fixed` the operator said so at launch, and no argument can say otherwise."""

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from mcp.server.mcpserver.exceptions import ToolError

from mcp_memory.config import Config

PARAMETER: Final = "user_id"
"""The parameter that every tool function has; only `argument` shows it to callers."""


class Identity(Protocol):
    """Decides the user of each call."""

    shown: bool
    """Whether callers see and give `user_id`."""

    memory_uri: str
    """The template of a memory's resource URI."""

    profile_uri: str
    """The URI of the user's profile, a template where callers name the user."""

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` with the user of this call in them.

        Raises:
            ToolError: the caller may not name a user here.
        """
        ...

    def uri(self, user: str, memory_id: str) -> str:
        """The resource URI of one memory."""
        ...

    def uri_of_profile(self, user: str) -> str:
        """The resource URI of a user's profile."""
        ...


class FixedIdentity:
    """Every call is for the user named at launch."""

    shown = False
    memory_uri = "memory://memories/{memory_id}"
    profile_uri = "memory://profile"

    def __init__(self, user: str) -> None:
        self._user = user

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` with the user named at launch; a caller who names one is told how that would work."""
        if PARAMETER in arguments:
            raise ToolError(
                f"This server serves one user and takes no {PARAMETER}; leave it out. "
                "The operator serves many users with --identity argument."
            )
        return {PARAMETER: self._user, **arguments}

    def uri(self, user: str, memory_id: str) -> str:
        """The URI without a user: there is only one."""
        del user
        return f"memory://memories/{quote(memory_id, safe='')}"

    def uri_of_profile(self, user: str) -> str:
        """The URI without a user."""
        del user
        return self.profile_uri


class ArgumentIdentity:
    """The calling product names the user in every call: it is trusted to know."""

    shown = True
    memory_uri = "memory://users/{user_id}/memories/{memory_id}"
    profile_uri = "memory://users/{user_id}/profile"

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """`arguments` as given."""
        return dict(arguments)

    def uri(self, user: str, memory_id: str) -> str:
        """The URI with the user in it."""
        return f"memory://users/{quote(user, safe='')}/memories/{quote(memory_id, safe='')}"

    def uri_of_profile(self, user: str) -> str:
        """The URI with the user in it."""
        return f"memory://users/{quote(user, safe='')}/profile"


def identity_of(config: Config) -> Identity:
    """The identity that the operator chose."""
    match config.identity:
        case "fixed":
            return FixedIdentity(config.user)
        case "argument":
            return ArgumentIdentity()
