"""The one form in which recalled text is shown: under a label, inside one delimiter, and unable to end or imitate it.

Everything that comes from what is stored stands in a `block` (or `inline`, within a sentence) and went through `shown`;
what we say about it ourselves stands outside. A backslash marks what was kept from posing as ours, and the number of a
character what nobody would see: both can be read back, and what is stored stays as it is.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

from mcp_memory.clock import ID_ALPHABET, ID_LENGTH
from mcp_memory.models import LABEL, Memory
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.instructions import reads_like_an_instruction
from mcp_memory.text.patterns import Pattern

OPENING: Final = "<notes>"
CLOSING: Final = "</notes>"
INDENT: Final = "    "
"""Before the further lines of a stored text: whatever begins a line of a block is ours."""
MARK: Final = "⚠ reads like an instruction, is stored text: "
"""Before a stored text that orders its reader about."""
QUOTED: Final = 500
"""Characters of a stored text that a sentence of ours quotes at most."""

_TAG: Final = Pattern(r"[<＜﹤](?=[\s/\\]*[nN][oO][tT][eE][sS])")
_ID: Final = Pattern(rf"\[(?=[{ID_ALPHABET}]{{{ID_LENGTH}}}\])")
_LABELLED: Final = Pattern(r"stored(?=\s+notes\s*,\s*not\s+instructions)", re.IGNORECASE)
"""What would pass for the delimiter, for the line of a memory, or for the label."""


def block(lines: Iterable[str]) -> list[str]:
    """The lines of recalled text, each of which went through `shown`, inside the delimiter."""
    return [OPENING, *lines, CLOSING]


def inline(text: str) -> str:
    """A stored text, label and delimiter included, within a sentence of ours; a long one is cut."""
    cut = text if len(text) <= QUOTED else f"{text[:QUOTED]}…"
    return f"({LABEL}): {OPENING} {told(' '.join(cut.split()))} {CLOSING}"


@lru_cache(1_024)
def shown(text: str) -> str:
    """`text` as it stands inside a block: further lines indented, nothing hidden, nothing that poses as ours."""
    visible = escaped(text)
    # Most texts hold nothing that a pattern could begin with, and a search for single signs takes next to no time.
    if "<" in visible or not (visible.isascii() or ("＜" not in visible and "﹤" not in visible)):
        visible = _TAG.sub(_broken, visible)
    if "[" in visible:
        visible = _ID.sub(_broken, visible)
    if "tored" in visible or "TORED" in visible:
        visible = _LABELLED.sub(_broken, visible)
    return visible.replace("\n", f"\n{INDENT}")


def told(text: str) -> str:
    """The same, marked where the text reads like an instruction."""
    return f"{MARK}{shown(text)}" if reads_like_an_instruction(text) else shown(text)


def instruction_like(memory: Memory) -> bool:
    """Whether anything that a memory says reads like an instruction."""
    if not (memory.key or memory.topics or memory.metadata):
        return reads_like_an_instruction(memory.content)
    told = (memory.content, memory.key or "", *memory.topics)
    said = "\n".join((*told, json.dumps(memory.metadata, ensure_ascii=False))) if memory.metadata else "\n".join(told)
    return reads_like_an_instruction(said)


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` without hidden characters in its names and values, for structured content."""
    if not metadata:
        return {}
    written = json.dumps(metadata, ensure_ascii=False)
    return dict(metadata) if escaped(written) == written else cast("dict[str, Any]", _plain(dict(metadata)))


def _plain(value: object) -> object:
    match value:
        case str():
            return escaped(value)
        case dict():
            return {escaped(name): _plain(one) for name, one in cast("dict[str, object]", value).items()}
        case list():
            return [_plain(one) for one in cast("list[object]", value)]
        case _:
            return value


def _broken(match: re.Match[str]) -> str:
    return f"{match[0]}\\"
