import pytest

from mcp_memory.config import Config
from tests.support import Mode, connected, ok


@pytest.mark.promise("P10")
async def test_add_search_update_undo_delete(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        added = await ok(client, "add_memory", content="Prefers window seats", topics=["Travel"])
        found = await ok(client, "search_memories", query="seats by the window")
        assert [hit["id"] for hit in found["hits"]] == [added["memory"]["id"]]
