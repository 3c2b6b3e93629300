"""Recalled memories inside a conversation: what our replies show must not be learnt a second time.

The text form (`views.lines`) is known by its label and the delimiter below it, whatever stands inside; copies that lost
the delimiter, and replies of versions that had none, by the label and the lines below it. The structured form
(`views.data`) is known by its label, or by JSON objects that hold memories with our ids.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from mcp_memory.clock import ID_ALPHABET, ID_LENGTH
from mcp_memory.models import LABEL
from mcp_memory.text.notes import CLOSING, OPENING
from mcp_memory.text.patterns import Pattern

_ID: Final = f"[{ID_ALPHABET}]{{{ID_LENGTH}}}"
_DECORATION: Final = r"[\s>|*+•#_`-]*+(?:\d++[.)]\s++)?+[*_`]*+"
"""What a quotation or a list puts before a line."""

_HEADLINE: Final = Pattern(rf"\([^()\n]*{LABEL.replace(' ', r'[ ]+')}[^()\n]*\)[*_]*\s*:", re.IGNORECASE)
_SENTENCE_END: Final = Pattern(r"[.:!?。！？][\"'”’)*_]*\s+")
_LINE: Final = Pattern(
    rf"{_DECORATION}(?:"
    rf"(?:(?:removed|restored)\b[^\[]*: |(?:added|updated|deleted) )?\[{_ID}\]"
    r"|skipped (?:add|update|delete|none)\b"
    r"|Close to it:$|\d+ revisions:$|made by \S"
    r"|v\d+ [a-z]+ \d{4}-\d\d-\d\d "
    r"|\d+ more left out: |More with cursor \S+$|Nothing was left to put back\.$"
    r"|No memory to show\.$|Note: (?:nothing was found on what was asked$"
    r"|searched (?:for|by) |only the first \d+ words|limit \d+ was lowered))"
)
"""A line that stands below a headline."""
_OPENING_LINE: Final = Pattern(rf"{_DECORATION}{OPENING}[*_`]*\s*")
_CLOSING_LINE: Final = Pattern(rf"{_DECORATION}{CLOSING}[*_`]*\s*")
_DATE: Final = Pattern(r"(?:updated )?\d{4}-\d\d-\d\d(?: \d\d:\d\d\S*)?")
_ALONE: Final = Pattern(
    rf"{_DECORATION}(?:(?:added|updated|deleted) )?\[{_ID}\] .* · (?:created )?\d{{4}}-\d\d-\d\d(?: |$)"
)
"""A line of ours that was copied without its headline."""
_QUOTED: Final = Pattern(r"(?:[ ]{0,3}>[ ]?)*")
_FENCE: Final = Pattern(r"[\s>]*(?:```|~~~)")
_EMPTY_FENCE: Final = Pattern(r"^[ \t>]*(```+|~~~+)[^\n`]*\n(?:[ \t>]*\n)*[ \t>]*\1[ \t]*(?:\n|\Z)", re.MULTILINE)

_ID_IN_JSON: Final = Pattern(rf'"{_ID}"')
_JSON: Final = Pattern(
    r'\[\s*(?=\{)|\{\s*"(?:label|changes|hits|modes|left_out|memories|total|next_cursor|neighbours|outcome|change_id|memory'
    r"|revisions"
    r"|changed|undone|tool|client|operations|decided_by|skipped|worksheet|rules|note|op|reason|was"
    r"|id|content|key|topics|pinned|metadata|agent|created_at|updated_at"
    r'|expires_at|version|damaged|last_good|instruction_like|score|past|match|_meta|type|text|structured_?[cC]ontent|isError|is_error)"\s*:'
)
"""Where JSON may begin that is, or holds, a reply of ours."""
_EFFORT: Final = 20
"""So many times its own length of a text is read as JSON at most: nested openings would cost their square."""


def without_recalled(text: str) -> str:
    """`text` without what our replies show of memories; a text without such is returned as it is.

    Quoted, listed, indented and fenced blocks count too. The indentation of `text` must still be there: by it the
    further lines of a memory are told from what the user wrote below.
    """
    rest = _without_lines(_without_json(text))
    return text if rest == text else _EMPTY_FENCE.sub("", rest)


def _without_lines(text: str) -> str:
    lines = text.split("\n")
    kept: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if headline := _HEADLINE.search(line):
            if before := _before(line[: headline.start()]):
                kept.append(before)
            index = _end(lines, index, announced=index + 1)
        elif _ALONE.match(line) or _begins_with_memory(lines, index):
            index = _end(lines, index)
        else:
            kept.append(line)
            index += 1
    return "\n".join(kept)


def _before(head: str) -> str:
    """The sentences that stand before a headline on its line."""
    ends = [match.end() for match in _SENTENCE_END.finditer(head)]
    sentences = head[: ends[-1]].rstrip() if ends else ""
    return "" if re.fullmatch(_DECORATION, f"{sentences} ") else sentences


def _end(lines: Sequence[str], start: int, announced: int | None = None) -> int:
    """The line after the block that begins at `start`; `announced` is a line that is part of it whatever it says."""
    if closed := _delimited(lines, start):
        return _remarked(lines, closed)
    edge = _indent(lines[start])
    index = start + 1
    while index < len(lines):
        following = _next(lines, index)
        if following == len(lines):
            return index
        named = following == announced and not _FENCE.match(lines[following])
        if not named and not _belongs(lines[following], edge):
            return index
        index = following + 1
    return index


def _delimited(lines: Sequence[str], start: int) -> int | None:
    """The line after the closing one, where the block at `start` opens and is closed; None where it is not."""
    opening = start if _OPENING_LINE.fullmatch(lines[start]) else _next(lines, start + 1)
    if opening == len(lines) or not _OPENING_LINE.fullmatch(lines[opening]):
        return None
    for index in range(opening + 1, len(lines)):
        if _CLOSING_LINE.fullmatch(lines[index]):
            return index + 1
        if _OPENING_LINE.fullmatch(lines[index]) or _HEADLINE.search(lines[index]):
            return None  # the closing line further down is another block's
    return None


def _remarked(lines: Sequence[str], index: int) -> int:
    """The line after our own remarks below a block that ends before `index`."""
    while (following := _next(lines, index)) < len(lines) and _LINE.match(lines[following]):
        index = following + 1
    return index


def _begins_with_memory(lines: Sequence[str], start: int) -> bool:
    """Whether a block of ours opens at `start`, its headline lost."""
    following = _next(lines, start + 1) if _OPENING_LINE.fullmatch(lines[start]) else len(lines)
    return following < len(lines) and _LINE.match(lines[following]) is not None


def _next(lines: Sequence[str], index: int) -> int:
    """The first line from `index` on that is not empty, or the end."""
    while index < len(lines) and not lines[index].strip(" \t\r>"):
        index += 1
    return index


def _belongs(line: str, edge: int) -> bool:
    if _HEADLINE.search(line) or _FENCE.match(line):
        return False
    if _indent(line) > edge or _LINE.match(line) or _OPENING_LINE.fullmatch(line) or _CLOSING_LINE.fullmatch(line):
        return True
    return any(_DATE.fullmatch(part.strip()) for part in line.split(" · ")[1:])


def _indent(line: str) -> int:
    quoted = _QUOTED.match(line)
    inner = line[quoted.end() if quoted else 0 :].expandtabs(4)
    return len(inner) - len(inner.lstrip())


def _without_json(text: str) -> str:
    if '"' not in text or not (_ID_IN_JSON.search(text) or _HEADLINE.search(text)):
        return text
    decoder = json.JSONDecoder()
    kept: list[str] = []
    done = at = 0
    effort = _EFFORT * len(text)
    while effort > 0 and (opening := _JSON.search(text, at)):
        start = opening.start()
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            effort -= 100 + error.pos - start + error.pos // 64  # the error counts the lines from the beginning
            at = start + 1
        except (ValueError, RecursionError):
            effort -= 10_000
            at = start + 1
        else:
            recalled = _recalled(value)
            if recalled:
                kept.append(text[done:start])
                done = end
            effort -= end - start
            at = end if recalled else start + 1
    return "".join([*kept, text[done:]])


def _recalled(value: object) -> bool:
    """Whether a JSON value is a reply of ours, or some memories out of one."""
    match value:
        case list():
            items = cast("list[object]", value)
            return bool(items) and all(_recalled_text(one) or _is_memory(one) for one in items)
        case dict():
            reply = cast("dict[str, Any]", value)
            inner = reply.get("structuredContent", reply.get("structured_content"))
            return _recalled_text(reply) or any(_is_reply(one) for one in (reply, reply.get("worksheet"), inner))
        case _:
            return False


def _is_reply(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    reply = cast("dict[str, Any]", value)
    lists = [reply.get(name) for name in ("hits", "memories", "neighbours", "operations", "skipped")]
    items = [one for found in lists if isinstance(found, list) for one in cast("list[object]", found)]
    changes = reply.get("changes")
    if isinstance(changes, list) and any(_is_reply(one) for one in cast("list[object]", changes)):
        return True
    return (
        reply.get("label") == LABEL
        or _is_memory(reply)
        or _is_step(reply)
        or any(_is_memory(one) or _is_step(one) for one in items)
    )


def _is_step(value: object) -> bool:
    return isinstance(value, dict) and _is_memory(cast("dict[str, object]", value).get("memory"))


def _is_memory(value: object) -> bool:
    match value:
        case {"id": str(name), "content": str()}:
            return re.fullmatch(_ID, name) is not None
        case _:
            return False


def _recalled_text(value: object) -> bool:
    match value:
        case {"type": "text", "text": str(text)}:
            return _HEADLINE.search(text) is not None
        case _:
            return False
