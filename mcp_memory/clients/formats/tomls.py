"""TOML. A new table is added at the end of the file, where no comment above another table becomes its own.

What is there already is changed and removed by tomlkit, which keeps the rest as it is written.
"""

import tomllib
from collections.abc import Sequence
from typing import Any, cast


def parse(text: str) -> object:
    """The value of a file.

    Raises:
        ValueError: it is broken; the message names line and column.
    """
    return tomllib.loads(text)


def put(text: str, path: Sequence[str | int], value: object) -> str:
    """`text`, which is sound, with `value` at `path`."""
    import tomlkit
    from tomlkit.items import InlineTable

    document = tomlkit.parse(text)
    table: Any = document
    rest = [str(key) for key in path]
    while len(rest) > 1 and rest[0] in table:
        table = table[rest.pop(0)]
    there = len(rest) == 1 and rest[0] in table
    if isinstance(value, dict) and not there and not isinstance(table, InlineTable):
        added = tomlkit.dumps(_nested(path, cast("dict[str, Any]", value)))
        above = text if not text.strip() or text.endswith("\n") else f"{text}\n"
        return _lines(text, f"{above}\n{added}" if above.strip() else above + added)
    for key in rest[:-1]:
        table = table.setdefault(key, tomlkit.inline_table())
    table[rest[-1]] = value
    return _lines(text, tomlkit.dumps(document))


def drop(text: str, path: Sequence[str | int]) -> str:
    """`text`, which is sound, without what stands at `path`."""
    import tomlkit

    document = tomlkit.parse(text)
    table: Any = document
    for key in path[:-1]:
        table = table[key]
    del table[path[-1]]
    left = _lines(text, tomlkit.dumps(document))
    newline = "\r\n" if "\r\n" in text else "\n"
    return left.removesuffix(newline) if left.endswith(newline * 2) and not text.endswith(newline * 2) else left


def _nested(path: Sequence[str | int], value: dict[str, Any]) -> dict[str, Any]:
    for key in reversed(path):
        value = {str(key): value}
    return value


def _lines(old: str, new: str) -> str:
    """`new` with the line ends of `old`."""
    return new.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in old else new
