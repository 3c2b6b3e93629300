"""The one place where errors become what a calling model reads: a single line with the next step."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_memory import guard
from mcp_memory.errors import InvalidInput, McpMemoryError, NotFound

_SHOWN = 3


def tool_error(tool: str, error: ToolError) -> ToolError:
    """What the caller of `tool` is told of `error`; a crash stays the crash that the SDK logs."""
    match error.__cause__:
        case ValidationError() as invalid:
            return ToolError(f"Invalid arguments for {tool}: {_validation(invalid)}")
        case McpMemoryError() as own:
            return ToolError(one_line(str(own)))
        case _:
            return error


def resource_error(error: McpMemoryError) -> ResourceError:
    """What the reader of a resource is told."""
    if isinstance(error, NotFound | InvalidInput):
        return ResourceNotFoundError(one_line(str(error)))
    return ResourceError(one_line(str(error)))


def unasked(tool: str, error: MCPError) -> ToolError:
    """The client would not ask its user, though it offers to."""
    why = guard.told(error.error.message) or "no reason given"
    return ToolError(
        f"{tool} did nothing: the client did not ask its user ({why}). Let it ask; delete_memory takes up to 100 ids."
    )


def unknown_tool(name: str, known: Iterable[str]) -> ToolError:
    """There is no tool of that name here."""
    return ToolError(f"No tool {guard.shown(name)} here{_nearest(name, list(known))}")


def unknown_prompt(name: str, known: Iterable[str]) -> ToolError:
    """There is no prompt of that name here."""
    return ToolError(f"No prompt {guard.shown(name)} here{_nearest(name, list(known))}")


def unknown_arguments(tool: str, given: Mapping[str, Any], known: Iterable[str]) -> ToolError | None:
    """The error for arguments that `tool` does not have, if there are any."""
    names = list(known)
    unknown = [name for name in given if name not in names]
    if not unknown:
        return None
    named = "; ".join(f"{guard.shown(name)}{_nearest(name, names)}" for name in unknown[:_SHOWN])
    return ToolError(f"{tool} has no argument {named}")


def broken_text(tool: str, arguments: Mapping[str, Any]) -> ToolError | None:
    """The error for an argument that holds half of a surrogate pair: no file and no reply could carry it."""
    broken = [name for name, value in arguments.items() if not _carried(name) or not _carried(value)]
    if not broken:
        return None
    return ToolError(
        f"Invalid arguments for {tool}: {guard.shown(broken[0])} holds half of a surrogate pair; send Unicode"
    )


def _carried(value: object) -> bool:
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    except UnicodeEncodeError:
        return False
    except (ValueError, TypeError, RecursionError):
        return True  # not plain JSON, which the tool itself refuses
    return True


def _validation(invalid: ValidationError) -> str:
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)
    told = dict.fromkeys(f"{_place(error['loc'])}: {error['msg'].removeprefix('Value error, ')}" for error in errors)
    return one_line("; ".join(list(told)[:_SHOWN]))


def _place(loc: tuple[int | str, ...]) -> str:
    """The argument, and the position in a list; not which branch of a type was tried."""
    positions = [str(part) for part in loc[1:] if isinstance(part, int)]
    return ".".join([str(loc[0]), *positions]) if loc else "arguments"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"


def one_line(message: str) -> str:
    """`message` as one line that a reply can carry: the name of a file may hold bytes that are no text."""
    return " ".join(message.encode(errors="replace").decode().split())
