"""Where the client can ask its user, the person decides at once whether something new is remembered."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ErrorData

from mcp_memory.app import App, open_app
from mcp_memory.config import Config
from mcp_memory.sections import ApprovalConfig
from mcp_memory.server import build_server
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, ok, refused, text

AGREES = ElicitResult(action="accept", content={"remember": True})
TICKS_NOTHING = ElicitResult(action="accept", content={"remember": False})
DECLINES = ElicitResult(action="decline")
CLOSES = ElicitResult(action="cancel")
FAILS = ErrorData(code=-32603, message="no window to ask in")


@dataclass
class Somebody:
    """Who is asked, and always answers the same."""

    answer: ElicitResult | ErrorData
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        assert isinstance(params, ElicitRequestFormParams)
        assert list(params.requested_schema["properties"]) == ["remember"]
        self.asked.append(params.message)
        return self.answer


@asynccontextmanager
async def asking(config: Config, mode: Mode, somebody: Somebody) -> AsyncGenerator[Client]:
    """A client that can ask its user, of a server where all that is added waits."""
    waits = config.replace(approval=ApprovalConfig(mode="all"))

    def opened(config: Config) -> AbstractAsyncContextManager[App]:
        return open_app(config, FakeClock())

    async with Client(build_server(waits, opened), mode=mode, elicitation_callback=somebody) as client:
        yield client


async def listed(client: Client) -> list[str]:
    return [one["content"] for one in (await ok(client, "list_memories"))["memories"]]


async def waiting(client: Client, **fields: Any) -> str:
    return (await ok(client, "add_memory", **fields))["outcome"]


async def test_who_agrees_has_it_remembered_at_once(config: Config, mode: Mode) -> None:
    somebody = Somebody(AGREES)
    async with asking(config, mode, somebody) as client:
        added = await ok(client, "add_memory", content="Lives in\u202e Oslo", key="home")
        assert added["outcome"] == "added"
        assert "pending" not in added["memory"]
        assert somebody.asked == ["Remember this of user 'alice', as 'home'? Lives in Oslo"]
        assert await listed(client) == ["Lives in Oslo"]
        assert (await ok(client, "add_memory", content="Lives in Rome", key="home"))["outcome"] == "replaced"


async def test_who_declines_has_nothing_stored(config: Config, mode: Mode) -> None:
    for answer in (DECLINES, TICKS_NOTHING):
        somebody = Somebody(answer)
        async with asking(config, mode, somebody) as client:
            result = await call(client, "add_memory", content="Lives in Oslo")
            assert text(result) == "The user declined: nothing was remembered."
            assert await ok(client, "add_memory", content="Lives in Oslo") == {"outcome": "declined", "neighbours": []}
            assert len(somebody.asked) == 2
            assert "Nothing is left to undo" in await refused(client, "undo")


async def test_who_closes_the_question_leaves_it_waiting_and_is_not_asked_again(config: Config, mode: Mode) -> None:
    somebody = Somebody(CLOSES)
    async with asking(config, mode, somebody) as client:
        assert await waiting(client, content="Lives in Oslo") == "pending"
        assert await waiting(client, content="Lives in Oslo") == "pending"
        assert (len(somebody.asked), await listed(client)) == (1, [])


async def test_a_client_that_fails_to_ask_leaves_it_waiting(config: Config, mode: Mode) -> None:
    somebody = Somebody(FAILS)
    async with asking(config, mode, somebody) as client:
        if mode == "auto":  # in this era the client asks between two calls of its own, and keeps its own failure
            with pytest.raises(Exception, match="no window to ask in"):
                await client.call_tool("add_memory", {"content": "Lives in Oslo"})
        assert await waiting(client, content="Lives in Oslo") == "pending"
        assert (len(somebody.asked), await listed(client)) == (1, [])


async def test_nobody_is_asked_about_what_is_known_cannot_be_or_is_only_changed(config: Config, mode: Mode) -> None:
    somebody = Somebody(AGREES)
    async with asking(config, mode, somebody) as client:
        added = await ok(client, "add_memory", content="Lives in Oslo")
        assert (await ok(client, "add_memory", content="lives in oslo", topics=["home"]))["outcome"] == "exists"
        await ok(client, "update_memory", id=added["memory"]["id"], content="Lives in Rome")
        assert "content" in await refused(client, "add_memory", content=" ")
        key = "sk-" + "proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
        assert "holds" in await refused(client, "add_memory", content=f"My key is {key}")
        assert len(somebody.asked) == 1


async def test_nobody_is_asked_where_nothing_waits(config: Config, mode: Mode) -> None:
    somebody = Somebody(DECLINES)

    def opened(config: Config) -> AbstractAsyncContextManager[App]:
        return open_app(config, FakeClock())

    for way in ("off", "extracted"):
        some = config.replace(ephemeral=True, approval=ApprovalConfig(mode=way))
        async with Client(build_server(some, opened), mode=mode, elicitation_callback=somebody) as client:
            assert (await ok(client, "add_memory", content="Lives in Oslo"))["outcome"] == "added"
    assert somebody.asked == []
