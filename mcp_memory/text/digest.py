"""The digest of a user's memories as it is put into a prompt: a line a memory, under headings, within the delimiter.

It names no ids: they would take a third of its tokens, and searches tell them.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from mcp_memory.models import LABEL, LeftOut, Memory
from mcp_memory.text.notes import MARK, block, instruction_like, shown
from mcp_memory.values import Value

Kind = Literal["pinned", "about", "keyed", "topic", "other"]
"""What holds a group together: pinned; found by what was asked for; with a key; a topic in common; nothing."""

_HEADINGS: Final = {"pinned": "Pinned", "about": "On what was asked", "keyed": "Facts", "other": "Other"}


class Group(Value):
    """Memories that stand under one heading, the most important first."""

    kind: Kind
    topic: str = ""
    memories: tuple[Memory, ...]


def text(groups: Sequence[Group], left_out: Sequence[LeftOut]) -> str:
    """The whole digest; what it leaves out stands below it."""
    headline = [f"What is known about the user ({LABEL}):", *block(_lines(groups))]
    return "\n".join([*(headline if groups else ["No memory to show."]), *map(remark, left_out)])


def heading(kind: Kind, topic: str = "") -> str:
    """What stands above a group."""
    return f"# {shown(topic)}" if kind == "topic" else f"# {_HEADINGS[kind]}"


def line(memory: Memory) -> str:
    """One memory: its key, if it has one, and what it says."""
    key = "" if memory.key is None else f"{shown(memory.key)}: "
    return f"- {MARK if instruction_like(memory) else ''}{key}{shown(memory.content)}"


def remark(one: LeftOut) -> str:
    """How many memories are not shown, and why."""
    return f"{one.count} more left out: {one.reason}" if one.count else f"Note: {one.reason}"


def _lines(groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        yield heading(group.kind, group.topic)
        yield from map(line, group.memories)
