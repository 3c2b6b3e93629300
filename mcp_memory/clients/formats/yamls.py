"""YAML, changed by splicing lines at the positions that PyYAML gives: its own writer would lose comments and layout."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

_UNIT: Final = "  "


class _Node(NamedTuple):
    """A value: the text of a plain one, the members of a table, and where it stands; `flow` if it is no block.

    It ends where the last thing in it does: PyYAML has a block end where the next thing begins.
    """

    text: str | None
    members: "list[tuple[_Node, _Node]] | None"
    start: int
    end: int
    column: int
    flow: bool

    def member(self, key: str | int) -> "tuple[_Node, _Node] | None":
        """The last one of that key, which is the one that counts."""
        return next((pair for pair in reversed(self.members or []) if pair[0].text == key), None)


def parse(text: str) -> object:
    """The value of a file.

    Raises:
        ValueError: it is broken; the message names line and column where they are known.
    """
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ValueError(f"{error.problem or error.context}{place}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def put(text: str, path: Sequence[str | int], value: object) -> str:
    """`text`, which is sound, with `value` at `path`."""
    newline = "\r\n" if "\r\n" in text else "\n"
    node = _composed(text)
    if node is None:
        above = text if not text.strip() or text.endswith("\n") else text + newline
        return above + _rows(_nested(path, value), "", newline)
    for depth, key in enumerate(path):
        found = node.member(key)
        if found is None:
            return _added(text, node, _nested(path[depth:], value), newline)
        name, node = found
        if not node.members or depth == len(path) - 1:
            return _replaced(text, name, node, _nested(path[depth + 1 :], value), newline)
    return text


def drop(text: str, path: Sequence[str | int]) -> str:
    """`text`, which is sound, without what stands at `path`."""
    node = cast("_Node", _composed(text))
    for key in path[:-1]:
        node = cast("tuple[_Node, _Node]", node.member(key))[1]
    pair = cast("tuple[_Node, _Node]", node.member(path[-1]))
    members = node.members or []
    name, value, number = *pair, members.index(pair)
    if node.flow:
        start = members[number - 1][1].end if number else name.start
        after = members[number + 1 : number + 2] if not number else []
        return text[:start] + text[after[0][0].start if after else value.end :]
    start, end = text.rfind("\n", 0, name.start) + 1, _line_end(text, value.end)
    if len(members) > 1:
        return text[:start] + text[end:]
    before = text[:start].rstrip()
    return f"{before} {{}}{text[len(before) : start]}{text[end:]}"


def _composed(text: str) -> _Node | None:
    import yaml

    node: Any = cast("Any", yaml).compose(text)
    return None if node is None else _node(node)


def _node(node: Any) -> _Node:  # noqa: ANN401 - PyYAML has no types
    members: list[tuple[_Node, _Node]] | None = None
    flow, text, end = True, None, int(node.end_mark.index)
    match node.id:
        case "mapping":
            members = [(_node(name), _node(value)) for name, value in node.value]
            flow = bool(node.flow_style) or not members
            end = end if flow else members[-1][1].end
        case "sequence":
            flow = bool(node.flow_style) or not node.value
            end = end if flow else _node(node.value[-1]).end
        case _:
            text = str(node.value)
    return _Node(text, members, int(node.start_mark.index), end, int(node.start_mark.column), flow)


def _added(text: str, node: _Node, value: Mapping[str, object], newline: str) -> str:
    """The text with what is in `value` as the last members of `node`."""
    if node.flow:
        close = node.end - 1
        comma = ", " if node.members else ""
        return f"{text[:close].rstrip()}{comma}{json.dumps(value, ensure_ascii=False)[1:-1]}{text[close:]}"
    end = _line_end(text, node.end)
    above = text[:end] if text[:end].endswith("\n") else text[:end] + newline
    lead = " " * node.column
    return above + _rows(value, lead, newline, lead or _UNIT) + text[end:]


def _replaced(text: str, name: _Node, old: _Node, value: object, newline: str) -> str:
    table = cast("dict[str, object]", value) if isinstance(value, dict) and value else None
    if table and text[: name.start].rpartition("\n")[2].strip() == "":
        rows = _rows(table, " " * name.column + _UNIT, newline).removesuffix(newline)
        return f"{text[: name.end]}:{newline}{rows}{text[old.end :]}"
    space = "" if text[: old.start].endswith((" ", "\n")) else " "
    return f"{text[: old.start]}{space}{json.dumps(value, ensure_ascii=False)}{text[old.end :]}"


def _line_end(text: str, at: int) -> int:
    """Behind the end of the line in which `at` is, if anything is in it before `at`."""
    if text[:at].endswith("\n"):
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _nested(path: Sequence[str | int], value: object) -> Any:  # noqa: ANN401 - a table, or the value itself
    for key in reversed(path):
        value = {key: value}
    return value


def _rows(table: Mapping[str, object], lead: str, newline: str, unit: str = _UNIT) -> str:
    """The lines of a table; strings are quoted as JSON does it, which YAML reads as well."""
    rows: list[str] = []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            rows += [f"{lead}{key}:{newline}", _rows(cast("dict[str, object]", value), lead + unit, newline, unit)]
        else:
            rows.append(f"{lead}{key}: {json.dumps(value, ensure_ascii=False)}{newline}")
    return "".join(rows)
