"""The block of guidance in a client's own instructions file, between two marks that only we write."""

from functools import partial
from pathlib import Path
from typing import Final

from mcp_memory import prompts
from mcp_memory.clients.files import Change, changed, taken_back

_BEGIN: Final = "<!-- mcp-memory begin -->"
_END: Final = "<!-- mcp-memory end -->"


def guided(path: Path, head: str) -> Change:
    """The file at `path` with the block as it is today: where it stands, or at the end. `head` begins a new file.

    Raises:
        ConfigError: one of the marks is missing.
    """
    return changed(path, partial(_put, head=head), partial(_again, head=head))


def unguided(path: Path, head: str) -> Change:
    """The file at `path` without the block and the blank line above it; no file if nothing else is left.

    Raises:
        ConfigError: one of the marks is missing.
    """
    return taken_back(path, partial(_drop, head=head), partial(_again, head=head))


def _put(text: str, head: str, block: str = "") -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = block.splitlines() or (_BEGIN, *prompts.load("guidance").splitlines(), _END)
    place, block = _place(text), newline.join(lines)
    if place is not None:
        return text[: place[0]] + block + text[place[1] :]
    if not text.strip():
        return f"{head}{block}\n"
    above = text if text.endswith("\n") else text + newline
    return f"{above}{newline}{block}{newline}"


def _drop(text: str, head: str) -> str:
    place = _place(text)
    if place is None:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    above = text[: place[0]]
    above = above.removesuffix(newline) if above.endswith(newline * 2) else above
    left = above + text[place[1] :].removeprefix(newline)
    return "" if left.strip() == head.strip() else left


def _again(current: str, text: str, head: str) -> str:
    place = _place(current)
    return text if place is None else _put(text, head, current[place[0] : place[1]])


def _place(text: str) -> tuple[int, int] | None:
    begin, end = text.find(_BEGIN), text.find(_END)
    if begin < 0 and end < 0:
        return None
    if begin < 0 or end < begin:
        found, missing = (_END, _BEGIN) if begin < 0 or end >= 0 else (_BEGIN, _END)
        line = text.count("\n", 0, max(text.find(found), 0)) + 1
        raise ValueError(f"line {line} has {found!r} without {missing!r}")
    return begin, end + len(_END)
