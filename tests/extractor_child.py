"""A process that extracts memories once and tells when it has. Run by `test_extraction_faults`, which kills it."""

from multiprocessing.connection import Connection

import anyio

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.extraction.conversation import Message
from mcp_memory.models import Origin
from mcp_memory.sections import ExtractionConfig, LlmConfig

ORIGIN = Origin(tool="extract_memories", client="child")


def extract(database: str, base_url: str, said: list[str], told: Connection) -> None:
    """Have the model at `base_url` decide about `said`, one chunk a message; `told` gets the id of the change."""
    config = Config(
        database=database,
        user="alice",
        llm=LlmConfig(model="scripted", base_url=base_url),
        extraction=ExtractionConfig(chunk_tokens=600),
    )
    told.send_bytes((anyio.run(_extract, config, said) or "").encode())


async def _extract(config: Config, said: list[str]) -> str | None:
    async def tell(done: int, chunks: int) -> None:
        del done, chunks

    async with open_app(config) as app:
        messages = [Message(role="user", content=content) for content in said]
        outcome = await (await app.extractor()).by_model("alice", messages, ORIGIN, tell)
    return outcome.applied.change_id
