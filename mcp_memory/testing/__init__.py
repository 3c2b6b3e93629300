"""Deterministic fakes for tests of this package and of those who build on it."""

from mcp_memory.testing.clock import FakeClock
from mcp_memory.testing.endpoint import (
    Altered,
    Chat,
    Closed,
    Computed,
    Delayed,
    Held,
    Raw,
    Received,
    Refusing,
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
    "Computed",
    "Delayed",
    "FakeClock",
    "Held",
    "Raw",
    "Received",
    "Refusing",
    "Reply",
    "Script",
    "ScriptedEndpoint",
    "Status",
    "Truncated",
    "Vectors",
    "bag_of_words",
    "scripted_endpoint",
]
