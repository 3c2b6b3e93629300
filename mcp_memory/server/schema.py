"""Tools as clients see them: schemas without pydantic's noise, closed, and with the user only where callers give it."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, cast

from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import CallToolResult, ToolAnnotations

from mcp_memory.server.identity import PARAMETER

_TEXT: Final = {str(str), str(str | None)}


@dataclass(frozen=True)
class ToolSpec:
    """One tool: its function, whose docstring is the description, and what a client may know before calling it.

    `page` is the URI of the MCP App that shows its result, if there is one.
    """

    run: Callable[..., Awaitable[CallToolResult]]
    title: str
    reads: bool = False
    destroys: bool = False
    idempotent: bool = True
    page: str | None = None


class _Arguments(FuncMetadata):
    """The SDK parses JSON inside any string whose parameter is not exactly `str`. Text stays text here."""

    @cached_property
    def _texts(self) -> frozenset[str]:
        """The parameters that are text, if they are given."""
        kinds = {name: str(field.annotation) for name, field in self.arg_model.model_fields.items()}
        return frozenset(name for name, kind in kinds.items() if kind in _TEXT)

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        if self._texts.issuperset(data):
            return data
        texts = self._texts.intersection(data)
        parsed = super().pre_parse_json({name: value for name, value in data.items() if name not in texts})
        return {name: data[name] if name in texts else parsed[name] for name in data}


@cache
def make_tool(spec: ToolSpec, *, show_user: bool) -> Tool:
    """The SDK's tool for `spec`."""
    tool = Tool.from_function(
        spec.run,
        title=spec.title,
        description=inspect.cleandoc(spec.run.__doc__ or ""),
        annotations=ToolAnnotations(
            title=spec.title,
            read_only_hint=spec.reads,
            destructive_hint=spec.destroys,
            idempotent_hint=spec.idempotent,
            open_world_hint=False,
        ),
        meta={"ui": {"resourceUri": spec.page}} if spec.page else None,
        structured_output=True,
    )
    parameters = tidy(tool.parameters)
    parameters["additionalProperties"] = False
    if not show_user:
        del parameters["properties"][PARAMETER]
        parameters["required"] = [name for name in parameters["required"] if name != PARAMETER]
    metadata = tool.fn_metadata
    arguments = _Arguments(
        arg_model=metadata.arg_model,
        # Without a model: replies are typed here and checked against the schema by the tests, not at each call.
        output_schema=tidy(metadata.output_schema) if metadata.output_schema else None,
    )
    return tool.model_copy(update={"parameters": _without_empty(parameters), "fn_metadata": arguments})


def tidy(schema: Mapping[str, object]) -> dict[str, Any]:
    """`schema` without titles, null branches and null defaults."""
    kept: dict[str, Any] = {
        keyword: _tidy_named(value) if keyword in {"properties", "$defs"} else _tidied(value)
        for keyword, value in schema.items()
        if keyword != "title" and not (keyword == "default" and value is None)
    }
    return _without_null(kept)


def _tidied(value: object) -> object:
    """What stands behind a keyword: a schema, a list with schemas in it, or plain JSON."""
    if isinstance(value, list):
        return [_tidied(item) for item in cast("list[object]", value)]
    return tidy(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value


def _tidy_named(schemas: object) -> dict[str, Any]:
    """Schemas by name: here a key may be called `title`."""
    return {name: _tidied(value) for name, value in cast("Mapping[str, object]", schemas).items()}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    branches = schema.get("anyOf")
    if not isinstance(branches, list):
        return schema
    kept = [branch for branch in cast("list[object]", branches) if branch != {"type": "null"}]
    rest = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
    return {**cast("dict[str, object]", kept[0]), **rest} if len(kept) == 1 else {**rest, "anyOf": kept}


def _without_empty(parameters: dict[str, Any]) -> dict[str, Any]:
    return {keyword: value for keyword, value in parameters.items() if value != []}
