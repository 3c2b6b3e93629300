"""A memory as a text that a person edits: a few lines of fields, a divider, and what it says."""

from typing import Final

from mcp_memory import clock
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields
from mcp_memory.models import Memory

_DIVIDER: Final = "---"
_YES: Final = {"yes": True, "no": False}


def drafted(memory: Memory) -> str:
    """`memory` to be edited."""
    expires = "" if memory.expires_at is None else clock.iso(memory.expires_at)
    return "\n".join(
        (
            f"topics: {', '.join(memory.topics)}",
            f"key: {memory.key or ''}",
            f"pinned: {'yes' if memory.pinned else 'no'}",
            f"expires: {expires}",
            f"{_DIVIDER} memory {memory.id}, version {memory.version}; its text stands below this line",
            f"{memory.content}\n",
        )
    )


def changed_fields(before: str, after: str) -> Fields | None:
    """What a person changed; a field that was emptied is cleared, one whose line is gone stays. None if nothing did.

    Raises:
        InvalidInput: a line cannot be read.
    """
    was, now = _read(before), _read(after)
    changed = {name: value for name, value in now.items() if value != was[name]}
    return Fields.checked({name: _value(name, said) for name, said in changed.items()}) if changed else None


def text_of(given: bytes, source: str) -> str:
    """`given` as text.

    Raises:
        InvalidInput: it is no UTF-8.
    """
    try:
        return given.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source} is no UTF-8 text (byte {error.start:,}); convert it first") from error


def _read(draft: str) -> dict[str, str]:
    head, divider, rest = f"\n{draft}".partition(f"\n{_DIVIDER}")
    if not divider:
        raise InvalidInput(f"the line that begins with {_DIVIDER} is gone; the text must stand below it")
    said = {"content": rest.partition("\n")[2].strip("\n")}
    for line in filter(str.strip, head.split("\n")):
        name, colon, value = line.partition(":")
        if not colon or name.strip() not in {"topics", "key", "pinned", "expires"}:
            raise InvalidInput(
                f"the line {line.strip()[:40]!r} is not understood; topics, key, pinned, expires are known"
            )
        said[name.strip()] = value.strip()
    return said


def _value(name: str, said: str) -> object:
    match name:
        case "topics":
            return [topic.strip() for topic in said.split(",") if topic.strip()]
        case "pinned":
            if said not in _YES:
                raise InvalidInput(f"pinned is yes or no, not {said[:40]!r}")
            return _YES[said]
        case _:
            return said
