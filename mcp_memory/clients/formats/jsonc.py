"""JSON as editors write it, with comments and last commas, changed by splicing.

Comments and last commas are first replaced by as many spaces. What is left is JSON, in which Python's own decoder finds
where each value begins and ends, at the same positions as in the text.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

_COMMENT: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA: Final = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_INDENT: Final = re.compile(r"\n([ \t]+)\S")
_DECODER: Final = json.JSONDecoder()


class _Item(NamedTuple):
    """A member of an object or list: where it begins (with its key), where its value does, and where it ends."""

    key: str | int
    start: int
    value: int
    end: int


class _Text(NamedTuple):
    """A text in its three forms, with the same positions: as it is, without comments, and without last commas too."""

    text: str
    bare: str
    plain: str

    def items(self, at: int) -> tuple[list[_Item], int]:
        """The members of what begins at `at`, and where its closing bracket is."""
        items: list[_Item] = []
        begin, keyed = self.skipped(at + 1), self.plain[at] == "{"
        while self.plain[begin] not in "}]":
            key, value = len(items), begin
            if keyed:
                key, end = _DECODER.raw_decode(self.plain, begin)
                value = self.skipped(self.skipped(end) + 1)
            _, end = _DECODER.raw_decode(self.plain, value)
            items.append(_Item(key, begin, value, end))
            begin = self.skipped(end)
            if self.plain[begin] == ",":
                begin = self.skipped(begin + 1)
        return items, begin

    def skipped(self, at: int) -> int:
        """Where the space at `at` ends, and with it every comment."""
        return _after_space(self.plain, at)

    def comma(self, after: int) -> int | None:
        """Where the comma is that stands next behind `after`, be it a last one."""
        at = _after_space(self.bare, after)
        return at if self.bare.startswith(",", at) else None

    def lead(self, at: int) -> str:
        """The indentation of the line of `at`."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at + 1]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def first(self, at: int) -> bool:
        """Whether nothing stands before `at` in its line."""
        return not self.text[self.text.rfind("\n", 0, at) + 1 : at].strip(" \t")

    def unit(self) -> str:
        """By how much this file indents."""
        found = _INDENT.search(self.bare)
        return found[1] if found else "  "

    def newline(self) -> str:
        """How this file ends its lines."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def loose(self) -> bool:
        """Whether this file, if it is a single line, has spaces behind its colons and commas."""
        return re.search(r'":\S', self.plain) is None


def parse(text: str) -> object:
    """The value; an empty table where there are only comments.

    Raises:
        ValueError: it is broken; the message names line and column.
    """
    plain = _forms(text).plain
    try:
        return json.loads(plain) if plain.strip() else {}
    except RecursionError as error:
        raise ValueError("it nests too deep") from error


def put(text: str, path: Sequence[str | int], value: object) -> str:
    """`text`, which is sound, with `value` at `path`."""
    forms = _forms(text)
    if not forms.plain.strip():
        newline = forms.newline()
        above = text if not text.strip() or text.endswith("\n") else text + newline
        return f"{above.strip() and above}{_dumped(_nested(path, value), '', '  ', newline)}{newline}"
    at, end = forms.skipped(0), len(forms.plain.rstrip())
    for depth, key in enumerate(path):
        if forms.plain.startswith("null", at):
            value = _nested(path[depth:], value)
            break
        items, close = forms.items(at)
        found = [item for item in items if item.key == key]
        if not found:
            return _added(forms, at, close, items, _member(key), _nested(path[depth + 1 :], value))
        at, end = found[-1].value, found[-1].end
    flat = "\n" not in text
    return text[:at] + (_inline(forms, value) if flat else _dumped(value, forms.lead(at), *_style(forms))) + text[end:]


def drop(text: str, path: Sequence[str | int]) -> str:
    """`text`, which is sound, without what stands at `path`."""
    forms = _forms(text)
    at = forms.skipped(0)
    for key in path[:-1]:
        at = next(item.value for item in reversed(forms.items(at)[0]) if item.key == key)
    items, close = forms.items(at)
    for number in reversed([number for number, item in enumerate(items) if item.key == path[-1]]):
        # Of keys that stand twice all go, so that no former one counts again.
        text = _cut(_forms(text), items, number, close)
    return _collapsed(text, at)


def _cut(forms: _Text, items: list[_Item], number: int, close: int) -> str:
    """The text without one member, its comma and its line; comments stay."""
    text, item = forms.text, items[number]
    comma = forms.comma(item.end)
    rest = item.end if comma is None else comma + 1
    line_end = min((at for at in (text.find("\n", rest), close) if at >= 0), default=close)
    start = item.start
    if forms.first(start) and not text[rest:line_end].strip():
        start = max(text.rfind("\n", 0, start), 0)
        start -= text[start - 1 : start] == "\r"
    else:
        start = len(text[:start].rstrip(" \t"))
    between = "" if comma is None else text[item.end : comma]
    before = text[:start]
    if number and number == len(items) - 1 and comma is None:
        last = cast("int", forms.comma(items[number - 1].end))
        before = text[:last] + text[last + 1 : start]
    return before + between + text[rest:]


def _collapsed(text: str, at: int) -> str:
    """`text` with nothing between the brackets at `at`, where only space was left."""
    inner = _after_space(text, at + 1)
    return text[: at + 1] + text[inner:] if text[inner : inner + 1] in {"}", "]"} else text


def _added(forms: _Text, at: int, close: int, items: list[_Item], member: str, value: object) -> str:
    """The text with one more member in what begins at `at`, behind the others and their comments."""
    text, (unit, newline) = forms.text, _style(forms)
    before, trailing = len(text[:close].rstrip()), items and forms.comma(items[-1].end) is not None
    end = items[-1].end if items and not trailing else before
    comma = "," if items and not trailing else ""
    if "\n" not in (text[at:close] if items else text):
        space = " " if items and forms.loose() else ""
        return f"{text[:end]}{comma}{text[end:before]}{space}{_inline_member(forms, member, value)}{text[before:]}"
    firsts = [item.start for item in items if forms.first(item.start)]
    lead = forms.lead(firsts[-1]) if firsts else forms.lead(at) + unit
    closing = text[before:] if items or "\n" in text[at + 1 : close] else newline + forms.lead(at) + text[close:]
    last = "," if trailing else ""
    added = f"{newline}{lead}{member}{_dumped(value, lead, unit, newline)}{last}"
    return f"{text[:end]}{comma}{text[end:before]}{added}{closing}"


def _forms(text: str) -> _Text:
    bare = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\r\n]", " ", match[0]), text)
    return _Text(text, bare, _LAST_COMMA.sub(lambda match: match[1] or " ", bare))


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _style(forms: _Text) -> tuple[str, str]:
    return forms.unit(), forms.newline()


def _member(key: str | int) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(key, str) else ""


def _nested(path: Sequence[str | int], value: object) -> object:
    for key in reversed(path):
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _inline(forms: _Text, value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=None if forms.loose() else (",", ":"))


def _inline_member(forms: _Text, member: str, value: object) -> str:
    return (member if forms.loose() else member.replace('": ', '":')) + _inline(forms, value)


def _dumped(value: object, lead: str, unit: str, newline: str) -> str:
    """`value` as its file would write it: each member on a line of its own, plain lists on one."""
    match value:
        case dict() if value:
            table = cast("dict[str, Any]", value)
            rows = [f"{_member(key)}{_dumped(one, lead + unit, unit, newline)}" for key, one in table.items()]
        case list() if any(isinstance(one, dict | list) for one in cast("list[Any]", value)):
            rows = [_dumped(one, lead + unit, unit, newline) for one in cast("list[Any]", value)]
        case _:
            return json.dumps(value, ensure_ascii=False)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = f",{newline}".join(f"{lead}{unit}{row}" for row in rows)
    return f"{opening}{newline}{inner}{newline}{lead}{closing}"
