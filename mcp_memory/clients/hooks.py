"""Commands that Claude Code runs by itself, in its settings: at the start of a session, and at the end of each turn.

Source: code.claude.com/docs/en/hooks. A command with `args` is started as it is; without, its line goes to a shell,
which every version can do. On Windows shells differ, so the newer form is used there.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from mcp_memory.clients import formats
from mcp_memory.clients.base import Platform
from mcp_memory.clients.entries import starts_memory
from mcp_memory.clients.files import Change, changed, taken_back

_TIMEOUT: Final = 10
"""Seconds after which the client goes on without the hook; it takes one, and never waits for a model."""

_EVENTS: Final[Mapping[str, Mapping[str, Any]]] = {
    # A resumed session has the profile in its conversation already; a compacted one has lost it.
    "SessionStart": {"matcher": "startup|clear|compact"},
    "Stop": {},
}
_WORDS: Final = {"SessionStart": "session-start", "Stop": "stop"}

Hooks = Mapping[str, Mapping[str, Any]]
"""The group of hooks for each event."""


def made(command: Sequence[str], options: Mapping[str, str], platform: Platform) -> Hooks:
    """Hooks that run `command`, for the memories that `options` name."""
    found: dict[str, dict[str, Any]] = {}
    for event, fields in _EVENTS.items():
        words = [*command, "hook", _WORDS[event], *(part for option in options.items() for part in option)]
        how = {"command": words[0], "args": words[1:]} if platform == "win32" else {"command": shlex.join(words)}
        found[event] = {**fields, "hooks": [{"type": "command", **how, "timeout": _TIMEOUT}]}
    return found


def hooked(path: Path, hooks: Hooks) -> Change:
    """The settings at `path` with `hooks`.

    Raises:
        ConfigError: they are broken.
    """
    return changed(path, lambda text: _put(text, hooks), _again)


def unhooked(path: Path) -> Change:
    """The settings at `path` without hooks of ours, and without what held nothing else.

    Raises:
        ConfigError: they are broken.
    """
    return taken_back(path, _drop, _again)


def _put(text: str, hooks: Hooks) -> str:
    """`text` with `hooks`: those of ours that are there are replaced, wherever they stand."""
    for event, group in hooks.items():
        ours = list(_ours(formats.parse("json", text), event))
        if ours:
            at, inner, _ = ours[0]
            text = formats.put("json", text, ["hooks", event, at, "hooks", inner], group["hooks"][0])
        else:
            text = formats.put("json", text, ["hooks", event, len(_groups(text, event))], group)
    return text


def _drop(text: str) -> str:
    for event in _WORDS:
        for at, inner, group in reversed(list(_ours(formats.parse("json", text), event))):
            alone = len(cast("list[object]", group["hooks"])) == 1
            path: list[str | int] = ["hooks", event, at] if alone else ["hooks", event, at, "hooks", inner]
            text = formats.drop("json", text, path)
        if event in _table(text) and not _groups(text, event):
            text = formats.drop("json", text, ["hooks", event])
    whole = cast("Mapping[str, object]", formats.parse("json", text))
    return formats.drop("json", text, ["hooks"]) if whole.get("hooks") == {} else text


def _again(current: str, text: str) -> str:
    whole = formats.parse("json", current)
    return _put(text, {event: group for event in _WORDS for _, _, group in _ours(whole, event)})


def _ours(whole: object, event: str) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Where hooks of ours stand: the position of the group and in it, and the group."""
    for _, table in formats.tables(whole, ["hooks"]):
        for at, group in enumerate(_list(table.get(event))):
            fields = _table_of(group)
            yield from (
                (at, inner, fields) for inner, hook in enumerate(_list(fields.get("hooks"))) if _is_ours(hook, event)
            )


def _table_of(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _is_ours(hook: object, event: str) -> bool:
    fields = _table_of(hook)
    line, args = str(fields.get("command", "")), fields.get("args")
    try:
        words = shlex.split(line) if args is None else [line, *map(str, _list(args))]
    except ValueError:
        return False
    return bool(words) and starts_memory(words[0], words[1:]) and "hook" in words and _WORDS[event] in words


def _table(text: str) -> Mapping[str, Any]:
    found = formats.tables(formats.parse("json", text), ["hooks"])
    return found[0][1] if found else {}


def _groups(text: str, event: str) -> Sequence[object]:
    found = _list(_table(text).get(event))
    if not found and _table(text).get(event) not in (None, []):
        raise ValueError(f"the hooks of {event} are no list")
    return found
