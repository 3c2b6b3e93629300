"""Files of three formats that are read, and changed in one place without touching anything else.

A path leads from the whole to a value: keys of tables, and positions in lists. What each of the functions gives back
has been read again and is what was meant.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from mcp_memory.clients.base import Format
from mcp_memory.clients.formats import jsonc, tomls, yamls

Step = str | int
Path = Sequence[Step]


def parse(form: Format, text: str) -> object:
    """The value of a file; an empty one is an empty table.

    Raises:
        ValueError: it is broken; the message names the line.
    """
    if not text.strip():
        return {}
    match form:
        case "json":
            return jsonc.parse(text)
        case "toml":
            return tomls.parse(text)
        case "yaml":
            return yamls.parse(text)


def put(form: Format, text: str, path: Path, value: object) -> str:
    """`text` with `value` at `path`, whose tables are made where they are missing; behind the end of a list is added.

    Raises:
        ValueError: the file is broken, or something else stands in the way; the message names the line if it can.
    """
    wanted = _with(parse(form, text), path, value)
    if wanted == parse(form, text):
        return text
    match form:
        case "json":
            done = jsonc.put(text, path, value)
        case "toml":
            done = tomls.put(text, path, value)
        case "yaml":
            done = yamls.put(text, path, value)
    return _checked(form, done, wanted)


def drop(form: Format, text: str, path: Path) -> str:
    """`text` without what stands at `path`, which is there.

    Raises:
        ValueError: the file is broken, or cannot be changed.
    """
    wanted = _without(parse(form, text), path)
    match form:
        case "json":
            done = jsonc.drop(text, path)
        case "toml":
            done = tomls.drop(text, path)
        case "yaml":
            done = yamls.drop(text, path)
    return _checked(form, done, wanted, path[:-1])


def _checked(form: Format, text: str, wanted: object, emptied: Path = ()) -> str:
    """`text`, which is `wanted` but for tables on the path `emptied` that have nothing in them any more."""
    try:
        sound = _filled(parse(form, text), emptied) == _filled(wanted, emptied)
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("it is written in a way that cannot be changed safely here; change it by hand")
    return text


def _with(whole: object, path: Path, value: object) -> object:
    """A copy of `whole` with `value` at `path`."""
    match path, whole:
        case [], _:
            return deepcopy(value)
        case [int(number), *rest], list():
            items = cast("list[object]", whole)
            inner = items[number] if number < len(items) else None
            return [*items[:number], _with(inner, rest, value), *items[number + 1 :]]
        case [int(), *rest], None:
            return [_with(None, rest, value)]
        case [str(key), *rest], dict() | None:
            table = cast("Mapping[str, object]", whole or {})
            return {**table, key: _with(table.get(key), rest, value)}
        case _:
            kind = "list" if isinstance(path[0], int) else "table"
            raise ValueError(f"there is no {kind} where {path[0]} would stand")


def _without(whole: object, path: Path) -> object:
    match path, whole:
        case [int(number), *rest], list():
            items = cast("list[object]", whole)
            kept = [_without(items[number], rest)] if rest else []
            return [*items[:number], *kept, *items[number + 1 :]]
        case [str(key), *rest], dict():
            table = cast("dict[str, object]", whole)
            if rest:
                return {**table, key: _without(table[key], rest)}
            return {name: one for name, one in table.items() if name != key}
        case _:
            raise ValueError(f"there is nothing at {path[0]}")


def _filled(whole: object, path: Path) -> object:
    """`whole` without the tables on `path` that are empty."""
    for length in range(len(path), 0, -1):
        at: object = whole
        for key in path[:length]:
            at = cast("dict[Step, object]", at).get(key, "") if isinstance(at, dict) else at
        if at in ({}, []):
            whole = _without(whole, path[:length])
    return whole


def tables(whole: object, keys: Sequence[str]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The tables to which `keys` lead, in which * is any, each with its own path."""
    found: list[tuple[tuple[str, ...], object]] = [((), whole)]
    for key in keys:
        found = [
            ((*path, name), inner)
            for path, table in found
            if isinstance(table, dict)
            for name, inner in cast("dict[str, object]", table).items()
            if key in {name, "*"}
        ]
    return [(path, cast("Mapping[str, Any]", one)) for path, one in found if isinstance(one, dict)]
