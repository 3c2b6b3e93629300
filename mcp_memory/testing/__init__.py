"""Deterministic fakes for tests of this package and of those who build on it."""

from mcp_memory.testing.clock import FakeClock
from mcp_memory.testing.endpoint import (
    Altered,
    Chat,
    Closed,
    Held,
    Raw,
    Received,
    Reply,
    Script,
    ScriptedEndpoint,
    Status,
    Truncated,
    Vectors,
    bag_of_words,
    scripted_endpoint,
)

__all__ = [
    "Altered",
    "Chat",
    "Closed",
    "FakeClock",
    "Held",
    "Raw",
    "Received",
    "Reply",
    "Script",
    "ScriptedEndpoint",
    "Status",
    "Truncated",
    "Vectors",
    "bag_of_words",
    "scripted_endpoint",
]
