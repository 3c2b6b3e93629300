"""What goes to the process that tries clients' entries, and what comes back."""

from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter

from mcp_memory.models import Value


class Target(Value):
    """A command to start as a client would, and as whom to ask where the server serves several users."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str


class Attempt(Value):
    """How it went: `seconds` from the start to the reply of the tool `called`, or the `problem`."""

    problem: str = ""
    seconds: float = 0.0
    tools: int = 0
    called: str = ""


TARGETS: Final = TypeAdapter(tuple[Target, ...])
