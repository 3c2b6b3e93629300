"""Searches and writes while the embedding endpoint fails in every way there is: true to what served, nothing lost."""

import importlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
import pytest
from mcp import Client

from mcp_memory.app import open_app, open_store
from mcp_memory.config import Config
from mcp_memory.sections import EmbeddingConfig, Secret
from mcp_memory.testing import (
    Altered,
    Closed,
    FakeClock,
    Held,
    Raw,
    Reply,
    Status,
    Truncated,
    Vectors,
    scripted_endpoint,
)
from tests.support import Mode, connected, ok, text
from tests.support import call as called

KEY: Final = "sk-alice-0123456789"
TIMEOUT: Final = 1.0
NOWHERE: Final = "http://127.0.0.1:9/v1"
BOTH: Final = ["lexical", "semantic"]
CLOCK: Final = FakeClock()
"""One for all, so that no id comes twice to one file."""

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """So that the times in these tests are those of requests, not of the first import."""
    importlib.import_module("openai.resources.embeddings")


def served_by(config: Config, base_url: str, **embedding: Any) -> Config:
    """`config` with a model of that endpoint."""
    given: dict[str, Any] = {
        "provider": "openai",
        "model": "m",
        "base_url": base_url,
        "timeout": TIMEOUT,
        "api_key": Secret(KEY),
    }
    return config.replace(embedding=EmbeddingConfig(**(given | embedding)))


def client_of(config: Config, mode: Mode = "auto") -> AbstractAsyncContextManager[Client]:
    return connected(config, mode, CLOCK)


async def searched(client: Client, query: str, within: float = TIMEOUT + 1) -> dict[str, Any]:
    """The reply to a search that comes in time and gives nothing away."""
    with anyio.fail_after(within):
        result = await called(client, "search_memories", query=query)
    assert not result.is_error, text(result)
    shown = text(result) + str(result.structured_content)
    assert KEY not in shown
    assert "Traceback" not in shown
    reply: dict[str, Any] = result.structured_content or {}
    return reply


def by_words(reply: dict[str, Any]) -> str:
    """Why a search was by words only, which is what it says."""
    assert reply["modes"] == ["lexical"]
    [reason] = [one["reason"] for one in reply["left_out"] if one["reason"].startswith("searched by words only: ")]
    return reason.removeprefix("searched by words only: ")


async def until(condition: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    """Ask again and again until it is so."""
    with anyio.fail_after(within):
        while not await condition():
            await anyio.lowlevel.checkpoint()


async def complete(config: Config) -> bool:
    """Whether no memory lacks its vector, as another process sees it."""
    async with open_store(served_by(config, NOWHERE), CLOCK) as store:
        return [one.lacking for one in await store.users()] == [0]


async def until_semantic(client: Client, query: str) -> dict[str, Any]:
    """The first reply to which both arms served."""
    replies: list[dict[str, Any]] = []

    async def semantic() -> bool:
        replies.append(await searched(client, query))
        return replies[-1]["modes"] == BOTH

    await until(semantic)
    return replies[-1]


def narrower(rows: Rows) -> Rows:
    return [{**row, "embedding": row["embedding"][:10]} for row in rows]


FAULTS: Final = [
    pytest.param(Status(401), "status 401; check the key in OPENAI_API_KEY", id="401"),
    pytest.param(Status(429, {"retry-after": "600"}), "status 429", id="429 for long"),
    pytest.param(Status(500), "status 500", id="500"),
    pytest.param(
        Status(400, body={"error": {"message": f"bad {KEY} Likes green tea"}}), "status 400", id="400 that quotes"
    ),
    pytest.param(Raw(b"<html>rubbish</html>"), "no list of embeddings", id="rubbish"),
    pytest.param(Altered(lambda rows: rows[:0]), "0 vectors came for 1 texts", id="no vectors"),
    pytest.param(
        Altered(lambda rows: [{**row, "embedding": [0.0] * 64} for row in rows]), "some vectors are zero", id="zeros"
    ),
    pytest.param(Truncated(), "the connection broke", id="cut off"),
    pytest.param(Closed(), "the connection broke", id="closed"),
    pytest.param(Held(), "no answer within 1 s", id="slow"),
]


def fresh(reply: Reply) -> Reply:
    """The events of a held reply belong to one test."""
    return Held() if isinstance(reply, Held) else reply


@pytest.mark.promise("P5")
@pytest.mark.promise("P2")
@pytest.mark.parametrize(("reply", "cause"), FAULTS)
async def test_an_endpoint_that_never_worked_costs_a_search_its_timeout_and_a_write_nothing(
    config: Config, reply: Reply, cause: str
) -> None:
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        endpoint.embeddings.otherwise = fresh(reply)
        with anyio.fail_after(TIMEOUT + 1):
            added = await ok(client, "add_memory", content="Likes green tea")
        with anyio.fail_after(TIMEOUT + 1):
            updated = await ok(client, "update_memory", id=added["memory"]["id"], content="Likes green tea a lot")
        assert (added["outcome"], updated["outcome"]) == ("added", "updated")
        for _ in range(3):
            found = await searched(client, "green tea")
            assert [hit["content"] for hit in found["hits"]] == ["Likes green tea a lot"]
            assert cause in by_words(found)
            assert "Likes" not in by_words(found)
        assert (await ok(client, "list_memories"))["total"] == 1


@pytest.mark.promise("P5")
@pytest.mark.parametrize(
    ("reply", "cause"), [*FAULTS, pytest.param(Altered(narrower), "had 64 dimensions and now have 10", id="narrower")]
)
async def test_an_endpoint_that_fails_later_is_made_up_for_once_it_works_again(
    config: Config, reply: Reply, cause: str
) -> None:
    if isinstance(reply, Status) and reply.headers:
        reply = Status(reply.code)  # else nothing is asked of it for as long as it said
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        await ok(client, "add_memory", content="Likes green tea")
        assert (await searched(client, "tea"))["modes"] == BOTH
        endpoint.embeddings.otherwise = fresh(reply)
        with anyio.fail_after(TIMEOUT + 1):
            await ok(client, "add_memory", content="Plays the cello")
        found = await searched(client, "cello")
        assert [hit["content"] for hit in found["hits"]][:1] == ["Plays the cello"]
        assert cause in by_words(found)
        endpoint.embeddings.otherwise = Vectors()
        found = await until_semantic(client, "cello")
        assert "searched by words only" not in str(found["left_out"])
        await until(partial(complete, config))


@pytest.mark.promise("P5")
async def test_an_endpoint_that_is_not_there_is_named_and_every_write_waits_for_its_vector(
    config: Config, mode: Mode
) -> None:
    async with scripted_endpoint() as endpoint:
        gone = endpoint.base_url
    async with client_of(served_by(config, gone), mode) as client:
        await ok(client, "list_memories")  # opens the file, which waits for no endpoint
        for number in range(5):
            with anyio.fail_after(TIMEOUT + 1):
                await ok(client, "add_memory", content=f"Owns {number + 2} bicycles")
        found = await searched(client, "bicycles")
        assert len(found["hits"]) == 5
        assert by_words(found).startswith(f"{gone}, model 'm': connection refused; ")
    assert not await complete(config)
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url), mode) as client:
        await searched(client, "bicycles")
        await until(partial(complete, config))
        assert (await searched(client, "bicycles"))["modes"] == BOTH
        asked = [text for request in endpoint.requests for text in request.body["input"]]
        assert sorted(text for text in asked if text.startswith("Owns")) == [f"Owns {n} bicycles" for n in range(2, 7)]


@pytest.mark.promise("P5")
async def test_a_search_over_memories_that_all_lack_their_vectors_is_not_called_semantic(config: Config) -> None:
    async with client_of(served_by(config, NOWHERE)) as client:
        await ok(client, "add_memory", content="Likes green tea")
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        found = await searched(client, "tea")
        assert len(endpoint.requests) >= 1  # the query has a vector, and still there is nothing to compare it with
        assert [hit["content"] for hit in found["hits"]] == ["Likes green tea"]
        assert found["modes"] == ["lexical"]
        assert (await until_semantic(client, "tea"))["modes"] == BOTH


async def test_searches_side_by_side_wait_for_a_slow_endpoint_together(config: Config) -> None:
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        await ok(client, "add_memory", content="Likes green tea")
        endpoint.embeddings.otherwise = Held()
        replies: list[dict[str, Any]] = []

        async def one() -> None:
            replies.append(await searched(client, "tea"))

        with anyio.fail_after(TIMEOUT + 1):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(one)
        assert [reply["modes"] for reply in replies] == [["lexical"]] * 8
        assert {len(reply["hits"]) for reply in replies} == {1}


async def test_an_answer_that_comes_just_in_time_serves(config: Config) -> None:
    held = Held()
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url, timeout=20)) as client:
        await ok(client, "add_memory", content="Likes green tea")
        endpoint.embeddings.then(held)
        async with anyio.create_task_group() as tasks:

            async def release() -> None:
                await held.reached.wait()
                held.released.set()

            tasks.start_soon(release)
            assert (await searched(client, "tea", within=10))["modes"] == BOTH


@pytest.mark.promise("P5")
async def test_vectors_of_another_length_than_those_in_the_file_are_no_semantic_search(config: Config) -> None:
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        await ok(client, "add_memory", content="Likes green tea")
        assert (await searched(client, "tea"))["modes"] == BOTH
    async with (
        scripted_endpoint(dimensions=10) as endpoint,
        client_of(served_by(config, endpoint.base_url)) as client,
    ):
        found = await searched(client, "tea")
        assert [hit["content"] for hit in found["hits"]] == ["Likes green tea"]
        assert found["modes"] == ["lexical"]
        await ok(client, "add_memory", content="Likes black tea")
        assert len((await searched(client, "tea"))["hits"]) == 2


async def test_the_key_and_the_texts_are_in_no_log(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        endpoint.embeddings.otherwise = Status(401, body={"error": {"message": f"bad key {KEY}: Likes mate"}})
        await ok(client, "add_memory", content="Likes mate")
        assert "status 401" in by_words(await searched(client, "mate"))
        assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    clients = ("mcp_memory", "openai", "httpx", "httpcore", "mcp")
    assert "Likes mate" not in str([one.getMessage() for one in caplog.records if one.name.startswith(clients)])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of the model."""
    return [one.getMessage() for one in caplog.records if "embedding model" in one.getMessage()]


async def test_a_process_configured_for_another_model_of_the_endpoint_follows_the_file_and_warns_once(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_endpoint() as endpoint:
        async with client_of(served_by(config, endpoint.base_url, dimensions=32)) as client:
            await ok(client, "add_memory", content="Likes green tea")
        assert warnings(caplog) == []
        async with client_of(served_by(config, endpoint.base_url, model="n", dimensions=16)) as client:
            await ok(client, "add_memory", content="Plays the cello")
            for query in ("tea", "cello"):
                assert (await searched(client, query))["modes"] == BOTH
        assert {(one.body["model"], one.body["dimensions"]) for one in endpoint.requests} == {("m", 32)}
    said = "this store has the embedding model openai/m@32, not openai/n@16; mcp-memory reindex changes it"
    assert warnings(caplog) == [said]
    assert [one.levelname for one in caplog.records if "embedding model" in one.getMessage()] == ["WARNING"]
    assert await complete(config)


async def test_a_file_with_the_table_of_the_package_is_never_sent_to_an_endpoint(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(config) as client:
        await ok(client, "add_memory", content="Enjoys a bike ride")
    async with scripted_endpoint() as endpoint, client_of(served_by(config, endpoint.base_url)) as client:
        await ok(client, "add_memory", content="Likes green tea")
        found = await searched(client, "cycling")
        assert ([hit["content"] for hit in found["hits"]], found["modes"]) == (["Enjoys a bike ride"], BOTH)
        assert endpoint.requests == []
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(("provider", "warned"), [("builtin", 1), ("none", 0)])
async def test_a_file_of_an_endpoint_is_searched_by_words_where_none_is_configured_and_completed_later(
    config: Config, caplog: pytest.LogCaptureFixture, provider: Any, warned: int
) -> None:
    without = config.replace(embedding=EmbeddingConfig(provider=provider))
    async with scripted_endpoint() as endpoint:
        async with client_of(served_by(config, endpoint.base_url)) as client:
            await ok(client, "add_memory", content="Likes green tea")
        async with client_of(without) as client:
            added = await ok(client, "add_memory", content="Plays the cello")
            assert added["outcome"] == "added"
            found = await searched(client, "cello")
            assert ([hit["content"] for hit in found["hits"]], found["modes"]) == (["Plays the cello"], ["lexical"])
        assert len(warnings(caplog)) == warned
        assert not await complete(config)
        async with client_of(served_by(config, endpoint.base_url)) as client:
            assert (await searched(client, "cello"))["modes"] == BOTH
            await until(partial(complete, config))


async def test_an_update_while_the_endpoint_is_away_leaves_no_vector_of_the_former_wording(config: Config) -> None:
    async with scripted_endpoint() as endpoint:
        async with client_of(served_by(config, endpoint.base_url)) as client:
            tea = (await ok(client, "add_memory", content="Likes green tea"))["memory"]["id"]
            await ok(client, "add_memory", content="Drinks sencha")
            endpoint.embeddings.otherwise = Status(401)
            await ok(client, "update_memory", id=tea, content="Plays the cello")
            assert not await complete(config)
        async with open_app(served_by(config, NOWHERE), CLOCK) as app:
            service = await app.service()
            found = await service.search("alice", "cello", service.scope(), explain=True)
            assert [(hit.memory.content, hit.match and hit.match.semantic) for hit in found.hits] == [
                ("Plays the cello", None)
            ]
