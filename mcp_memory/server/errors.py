"""The one place where errors become what a calling model reads: a single line with the next step."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from pydantic import ValidationError

from mcp_memory.errors import InvalidInput, McpMemoryError, NotFound

_SHOWN = 3


def tool_error(tool: str, error: ToolError) -> ToolError:
    """What the caller of `tool` is told of `error`; a crash stays the crash that the SDK logs."""
    match error.__cause__:
        case ValidationError() as invalid:
            return ToolError(f"Invalid arguments for {tool}: {_validation(invalid)}")
        case McpMemoryError() as own:
            return ToolError(_one_line(str(own)))
        case _:
            return error


def resource_error(error: McpMemoryError) -> ResourceError:
    """What the reader of a resource is told."""
    if isinstance(error, NotFound | InvalidInput):
        return ResourceNotFoundError(_one_line(str(error)))
    return ResourceError(_one_line(str(error)))


def unknown_tool(name: str, known: Iterable[str]) -> ToolError:
    """There is no tool of that name here."""
    return ToolError(f"No tool {_short(name)!r} here{_nearest(name, list(known))}")


def unknown_arguments(tool: str, given: Mapping[str, Any], known: Iterable[str]) -> ToolError | None:
    """The error for arguments that `tool` does not have, if there are any."""
    names = list(known)
    unknown = [name for name in given if name not in names]
    if not unknown:
        return None
    named = "; ".join(f"{_short(name)!r}{_nearest(name, names)}" for name in unknown[:_SHOWN])
    return ToolError(f"{tool} has no argument {named}")


def _validation(invalid: ValidationError) -> str:
    errors = invalid.errors(include_url=False, include_context=False, include_input=False)
    told = dict.fromkeys(f"{_place(error['loc'])}: {error['msg'].removeprefix('Value error, ')}" for error in errors)
    return _one_line("; ".join(list(told)[:_SHOWN]))


def _place(loc: tuple[int | str, ...]) -> str:
    """The argument, and the position in a list; not which branch of a type was tried."""
    positions = [str(part) for part in loc[1:] if isinstance(part, int)]
    return ".".join([str(loc[0]), *positions]) if loc else "arguments"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else name[:60] + "…"


def _one_line(message: str) -> str:
    return " ".join(message.split())
