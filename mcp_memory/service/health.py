"""Whether what makes vectors and what decides about memories can be reached and does its work."""

import hashlib
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any, Final

import anyio

from mcp_memory.checks import Check, fail, ok, warn
from mcp_memory.embed.base import Embedder
from mcp_memory.embed.builtin import CHECKSUM, BuiltinEmbedder
from mcp_memory.errors import EmbeddingError, ModelError
from mcp_memory.llm.base import ChatMessage, ChatModel

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


async def embedder(embedder: Embedder | None) -> Check:
    """Whether `embedder` gives vectors; an endpoint is sent one word."""
    name = "embedder"
    if embedder is None:
        return ok(name, "none is used: searches find by words only")
    try:
        if isinstance(embedder, BuiltinEmbedder) and await anyio.to_thread.run_sync(_checksum) != CHECKSUM:
            return fail(name, "the table of the package was changed or is damaged", "install mcp-memory anew")
        started = anyio.current_time()
        vectors = await embedder.embed(["memory"])
    except EmbeddingError as error:
        return fail(name, str(error), "searches find by words only until it answers")
    except (OSError, ValueError, KeyError) as error:
        return fail(name, f"the table of the package cannot be read ({error})", "install mcp-memory anew")
    if not vectors.any():
        return warn(name, f"{embedder.name} gives no vector for a plain word", "set another embedding.model")
    took = f"answers in {anyio.current_time() - started:.2f} s"
    state = "its table as published" if isinstance(embedder, BuiltinEmbedder) else took
    return ok(name, f"{embedder.name}, {vectors.shape[1]} dimensions, {state}")


async def chat_model(model: ChatModel | None) -> Check:
    """Whether the configured chat model replies; it is sent one sentence of ours."""
    name = "chat model"
    if model is None:
        return ok(name, "none is configured, so nothing is ever sent; agents decide themselves what to remember")
    asked = (ChatMessage(role="user", content='Reply with {"ok": true}.'),)
    started = anyio.current_time()
    try:
        await model.complete(asked, _SCHEMA)
    except ModelError as error:
        return fail(name, str(error), "extraction has no model until it answers")
    return ok(name, f"{model.name} answers in {anyio.current_time() - started:.1f} s")


def _checksum() -> str:
    with as_file(files("mcp_memory.embed") / "table.npz") as path:
        return hashlib.sha256(path.read_bytes()).hexdigest()
