"""`mcp-memory reindex`: a file's search languages and embedding model change for every user and every process."""

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from typing import Any

import anyio
import pytest
from mcp import Client

from mcp_memory.app import open_app, open_store, reindex_store
from mcp_memory.config import Config
from mcp_memory.errors import EmbeddingError, StoreUnavailable
from mcp_memory.models import Filter, Step
from mcp_memory.sections import EmbeddingConfig, SearchConfig
from mcp_memory.service.outcomes import Reindexed
from mcp_memory.service.reindex import WRITES, Progress
from mcp_memory.testing import Closed, FakeClock, Held, ScriptedEndpoint, Status, Vectors, scripted_endpoint
from mcp_memory.text import Analyzer
from tests.store.conformance import NOW, a_change, a_memory
from tests.support import connected, ok, refused

RESTART = "the search settings of this file were changed by mcp-memory reindex; restart this client"
UNFINISHED = "reindex was not finished; run mcp-memory reindex"
GERMAN = ("english", "german")
CLOCK = FakeClock()
"""One for all, so that no id comes twice to one file."""


def changed(config: Config, *, languages: tuple[str, ...] = ("english",), **embedding: Any) -> Config:
    sections = {"search": SearchConfig(languages=languages), "embedding": EmbeddingConfig(**embedding)}
    return config.replace(**sections)


def by_words(config: Config, *languages: str) -> Config:
    return changed(config, languages=languages or ("english",), provider="none")


def by_endpoint(config: Config, endpoint: ScriptedEndpoint) -> Config:
    return changed(config, provider="openai", model="m", base_url=endpoint.base_url, batch=2)


async def reindexed(config: Config, tell: Callable[[Progress], None] = lambda _: None) -> Reindexed:
    return await reindex_store(config, tell)


def client_of(config: Config) -> AbstractAsyncContextManager[Client]:
    return connected(config, clock=CLOCK)


async def remember(config: Config, *contents: str) -> None:
    async with client_of(config) as client:
        for content in contents:
            await ok(client, "add_memory", content=content)


async def answers(client: Client, query: str, **arguments: Any) -> list[str]:
    found = await ok(client, "search_memories", query=query, **arguments)
    return sorted(hit["content"] for hit in found["hits"])


async def holders(config: Config, word: str) -> tuple[int, int]:
    """How many of alice's memories, and of her former wordings, hold a word as the languages of `config` fold it."""
    terms = list(Analyzer(config.search.languages).query_terms(word))
    async with open_store(config, CLOCK) as store:
        current = await store.candidates("alice", terms, Filter(now=NOW))
        former = await store.past_candidates("alice", terms, Filter(now=NOW))
    return len(current.postings.places), len(former.postings.places)


async def modes(client: Client) -> list[str]:
    return (await ok(client, "search_memories", query="tea"))["modes"]


def asked(config: Config, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(config.path())) as connection:
        return connection.execute(query).fetchall()


def settings(config: Config) -> dict[str, str]:
    return dict[str, str](asked(config, "SELECT name, value FROM settings WHERE name NOT IN ('min_writer', 'file_id')"))


def models(config: Config) -> list[tuple[str, int]]:
    """The models of the vectors in the file, and how many each has."""
    return asked(config, "SELECT model, count(*) FROM vectors GROUP BY model ORDER BY model")


def check(config: Config) -> None:
    assert asked(config, "PRAGMA integrity_check") == [("ok",)]
    for index in ("memory_index", "past_index"):
        assert asked(config, f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)") == []


def command(config: Config, *languages: str, **embedding: object) -> tuple[list[str], dict[str, str]]:
    """The process that reindexes the file of `config`, and its environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}
    own |= {f"MCP_MEMORY_EMBEDDING_{name.upper()}": str(value) for name, value in embedding.items()}
    own["MCP_MEMORY_SEARCH_LANGUAGES"] = ",".join(languages or ("english",))
    folder = config.path().parent
    (folder / "config.toml").touch()
    options = ["--database", str(config.path()), "--config", str(folder / "config.toml")]
    return [sys.executable, "-m", "mcp_memory", "reindex", *options], own


async def test_every_user_finds_words_in_the_new_languages_also_in_former_wordings(config: Config) -> None:
    english, german = by_words(config), by_words(config, *GERMAN)
    bob = german.replace(user="bob")
    async with client_of(english) as client:
        added = await ok(client, "add_memory", content="Zwei Häuser am See")
        await ok(client, "update_memory", id=added["memory"]["id"], content="Drei Häuser am Meer")
    assert await holders(german, "Haus") == (0, 0)
    await remember(by_words(bob), "Sammelt Vogelhäuser und Häuser")
    assert await reindexed(german) == Reindexed(users=2, memories=2, wordings=1, languages=GERMAN, model="")
    assert await holders(german, "Haus") == (1, 1)
    check(config)
    async with client_of(english) as client, client_of(bob) as other:  # the file's languages count, not the process's
        assert await answers(client, "Haus") == ["Drei Häuser am Meer"]
        assert await answers(client, "Haus", include_past=True) == ["Drei Häuser am Meer", "Zwei Häuser am See"]
        assert await answers(other, "Haus") == ["Sammelt Vogelhäuser und Häuser"]
        await ok(client, "add_memory", content="Noch ein paar Häuser")
        assert await answers(client, "Haus") == ["Drei Häuser am Meer", "Noch ein paar Häuser"]
    assert settings(config) == {"index_version": "1", "search_languages": "english,german", "embedding_model": ""}


@pytest.mark.promise("P5")
async def test_the_model_changes_from_builtin_to_none_and_back_with_all_vectors(config: Config) -> None:
    builtin, none = changed(config), by_words(config)
    await remember(builtin, "Likes green tea", "Plays chess")
    assert models(config) == [("builtin/1", 2)]
    assert (await reindexed(none)).model == ""
    assert (models(config), settings(config)["embedding_model"]) == ([], "")
    async with client_of(none) as client:
        assert await modes(client) == ["lexical"]
    await remember(none, "Runs marathons")
    assert (await reindexed(builtin)).model == "builtin/1"
    assert models(config) == [("builtin/1", 3)]
    async with client_of(builtin) as client:
        assert await modes(client) == ["lexical", "semantic"]


async def test_an_endpoint_gets_texts_of_one_user_at_a_time_in_batches_and_only_what_is_missing(config: Config) -> None:
    async with scripted_endpoint() as endpoint:
        wanted = by_endpoint(config, endpoint)
        await remember(by_words(config), "One", "Two", "Three")
        await remember(by_words(config.replace(user="bob")), "Four")
        assert (await reindexed(wanted)).model == "openai/m"
        sent = [request.body["input"] for request in endpoint.requests]
        assert sent[1:] == [["Three", "Two"], ["One"], ["Four"]]
        assert models(config) == [("openai/m", 4)]
        endpoint.requests.clear()
        await reindexed(wanted)
        assert len(endpoint.requests) == 1, "the text that tells whether the endpoint works"


async def test_progress_adds_up_for_words_and_vectors(config: Config) -> None:
    told: list[Progress] = []
    await remember(by_words(config), "One", "Two", "Three")
    await remember(by_words(config.replace(user="bob")), "Four")
    await reindexed(changed(config, batch=2), told.append)
    for part in ("words", "vectors"):
        assert sum(step.more for step in told if step.part == part) == 4
        assert {step.total for step in told if step.part == part} == {4}


@pytest.mark.parametrize("reply", [Status(401), Closed()], ids=["refused", "broken"])
async def test_an_endpoint_that_does_not_work_at_all_changes_nothing(config: Config, reply: Any) -> None:
    await remember(changed(config), "Likes tea")
    before = settings(config)
    async with scripted_endpoint() as endpoint:
        endpoint.embeddings.otherwise = reply
        with pytest.raises(EmbeddingError):
            await reindexed(by_endpoint(config, endpoint).replace(search=SearchConfig(languages=GERMAN)))
    assert (settings(config), models(config)) == (before, [("builtin/1", 1)])


async def test_an_endpoint_that_fails_part_way_keeps_what_was_done_and_the_next_run_completes_it(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    await remember(changed(config), "One", "Two", "Three", "Vier Häuser")
    async with scripted_endpoint() as endpoint:
        endpoint.embeddings.then(Vectors(), Vectors(), Status(403))
        openai = {"provider": "openai", "model": "m", "base_url": endpoint.base_url, "batch": 2}
        arguments, environ = command(config, *GERMAN, **openai)
        failed = await anyio.run_process(arguments, env=environ, check=False)
        assert (failed.returncode, failed.stdout) == (2, b"")
        [line] = failed.stderr.decode().splitlines()
        assert "status 403" in line
        assert line.endswith("2 vectors are missing: run mcp-memory reindex again")
        assert models(config) == [("builtin/1", 2), ("openai/m", 2)]
        assert settings(config)["index_version"] == "0"
        wanted = by_endpoint(config, endpoint)
        async with client_of(wanted) as client:
            assert await answers(client, "Haus") == ["Vier Häuser"]
        assert UNFINISHED in caplog.text
        endpoint.requests.clear()
        await reindexed(wanted.replace(search=SearchConfig(languages=GERMAN)))
        assert [request.body["input"] for request in endpoint.requests[1:]] == [["Two", "One"]]
    assert (models(config), settings(config)["index_version"]) == ([("openai/m", 4)], "1")


async def test_vectors_of_another_length_under_the_same_name_are_made_anew(config: Config) -> None:
    await remember(by_words(config), "One", "Two", "Three")
    for dimensions in (8, 16):
        async with scripted_endpoint(dimensions) as endpoint:
            await reindexed(by_endpoint(config, endpoint))
        assert asked(config, "SELECT DISTINCT length(vector), count(*) FROM vectors") == [(dimensions, 3)]


@pytest.mark.promise("P5")
async def test_a_client_that_is_running_searches_on_truthfully_and_writes_again_after_a_restart(config: Config) -> None:
    async with client_of(changed(config)) as client:
        tea = await ok(client, "add_memory", content="Likes green tea")
        assert await modes(client) == ["lexical", "semantic"]
        async with scripted_endpoint() as endpoint:
            await reindexed(by_endpoint(config, endpoint))
        for tool, arguments in (
            ("add_memory", {"content": "Likes mate"}),
            ("update_memory", {"id": tea["memory"]["id"], "pinned": True}),
            ("delete_memory", {"id": tea["memory"]["id"]}),
            ("undo", {}),
        ):
            assert RESTART in await refused(client, tool, **arguments)
        assert await answers(client, "tea") == ["Likes green tea"]
        assert await modes(client) == ["lexical"]
        assert (await ok(client, "list_memories"))["total"] == 1
    async with client_of(changed(config)) as client:
        await ok(client, "add_memory", content="Likes mate")


async def test_a_process_with_the_former_model_makes_up_for_no_vectors(config: Config) -> None:
    await remember(changed(config), "Likes green tea", "Likes mate")
    async with scripted_endpoint() as endpoint, open_store(changed(config), CLOCK) as former:
        wanted = by_endpoint(config, endpoint)
        late = await former.unembedded("alice", 9)
        await reindexed(wanted)
        assert await former.unembedded("alice", 9) == late == []
        with pytest.raises(StoreUnavailable, match=RESTART):
            await former.add_vectors("alice", [])
    assert models(config) == [("openai/m", 2)]


async def test_a_client_without_vectors_writes_on_where_another_model_came(config: Config) -> None:
    async with client_of(by_words(config)) as client:
        await ok(client, "add_memory", content="Likes tea")
        await reindexed(changed(config))
        await ok(client, "add_memory", content="Likes mate")
        assert await answers(client, "likes") == ["Likes mate", "Likes tea"]
        await reindexed(by_words(config, *GERMAN))
        assert RESTART in await refused(client, "add_memory", content="Likes coffee")
    assert models(config) == []


async def test_a_client_with_the_same_settings_goes_on_and_sees_what_was_completed(config: Config) -> None:
    await remember(by_words(config), "Enjoys a bike ride", "Plays chess")
    async with open_app(changed(config), CLOCK) as app:
        service = await app.service()

        async def cosines() -> list[float | None]:
            found = await service.search("alice", "cycling or chess", service.scope(), min_score=0, explain=True)
            return [hit.match.semantic for hit in found.hits if hit.match]

        assert set(await cosines()) == {None}
        await reindexed(changed(config))
        assert None not in await cosines()
    async with client_of(changed(config)) as client:
        await reindexed(changed(config))
        await ok(client, "add_memory", content="Likes tea")


async def test_what_is_rewritten_during_a_batch_is_found_as_it_is_then(config: Config) -> None:
    await remember(by_words(config), "Zwei Häuser")
    async with open_store(by_words(config), CLOCK) as store:
        [holding] = await store.users()
        async with anyio.create_task_group() as tasks, store.transaction("alice") as turn:
            tasks.start_soon(store.reindex, "alice", range(1, 9), 0)
            for _ in range(5):
                await store.users()  # the reader answers in turn: by now the batch has been read
            [memory] = (await store.page("alice", Filter(now=NOW), None, 9)).memories
            reworded = memory.replace(content="Ein Turm", version=2)
            await turn.record(a_change(id=CLOCK.new_id()), [Step(operation="update", memory=reworded)])
        assert holding.memories == 1
    check(config)
    async with client_of(by_words(config)) as client:
        assert (await answers(client, "Turm"), await answers(client, "Häuser")) == (["Ein Turm"], [])


async def test_of_two_reindexes_with_different_settings_the_first_gives_way(config: Config) -> None:
    await remember(by_words(config), "Zwei Häuser")
    async with (
        open_store(by_words(config), CLOCK) as first,
        open_store(by_words(config), CLOCK) as second,
    ):
        german = first.settings.replace(languages=GERMAN, reindexing=True)
        await first.set_settings(german)
        with pytest.raises(StoreUnavailable, match=RESTART):
            await second.set_settings(german.replace(languages=("french",)))
        await reindexed(by_words(config, "french"))
        with pytest.raises(StoreUnavailable, match=RESTART):
            await first.reindex("alice", range(1, 9), 0)
        with pytest.raises(StoreUnavailable, match=RESTART):
            await first.set_settings(german.replace(reindexing=False))
    assert settings(config) == {"index_version": "1", "search_languages": "french", "embedding_model": ""}


async def fill(config: Config, count: int) -> None:
    """Many memories, each of another house, and a former wording for one in ten."""
    async with open_store(config, CLOCK) as store, store.transaction("alice") as turn:
        houses = [a_memory(f"Häuser der Nummer {number}", id=CLOCK.new_id()) for number in range(count)]
        stored = await turn.record(
            a_change(id=CLOCK.new_id()), [Step(operation="add", memory=house) for house in houses]
        )
        towers = [
            Step(
                operation="update",
                memory=house.replace(content=f"Turm der {house.content}", version=2),
                supersedes=house,
            )
            for house in stored[::10]
        ]
        await turn.record(a_change(id=CLOCK.new_id()), towers)


def dump(config: Config) -> list[str]:
    with closing(sqlite3.connect(config.path())) as connection:
        return list(connection.iterdump())


@pytest.mark.promise("P2")
async def test_a_reindex_that_was_killed_leaves_a_file_that_works_and_is_completed_by_the_next(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    count = 4 * WRITES
    await fill(by_words(config), count)
    german = "SELECT count(*) FROM memories WHERE terms LIKE '%xhaus %' OR terms LIKE '%xhaus'"
    arguments, environ = command(config, *GERMAN, provider="none")
    async with await anyio.open_process(arguments, env=environ) as process:
        while asked(config, german) == [(0,)]:
            assert process.returncode is None
        process.kill()
    done = asked(config, german)[0][0]
    assert 0 < done < count
    assert settings(config) == {"index_version": "0", "search_languages": "english,german", "embedding_model": ""}
    check(config)
    async with client_of(by_words(config)) as client:
        listed = await ok(client, "list_memories", limit=1)
        assert listed["total"] == count
        assert len(await answers(client, "Haus", limit=1)) == 1
        await ok(client, "add_memory", content="Ganz neue Häuser")
    assert UNFINISHED in caplog.text
    again = await reindexed(by_words(config, *GERMAN))
    assert again == Reindexed(users=1, memories=count + 1, wordings=count // 10, languages=GERMAN, model="")
    assert (asked(config, german), settings(config)["index_version"]) == ([(count + 1,)], "1")
    check(config)
    before = dump(config)
    await reindexed(by_words(config, *GERMAN))
    assert dump(config) == before
    caplog.clear()
    async with client_of(by_words(config)) as client:
        assert len(await answers(client, "Haus", limit=100, include_past=True)) == 100
    assert UNFINISHED not in caplog.text


@pytest.mark.promise("P2")
async def test_a_reindex_that_was_killed_while_vectors_are_made_keeps_those_it_has(config: Config) -> None:
    await remember(by_words(config), "One", "Two", "Three")
    async with scripted_endpoint() as endpoint:
        held = Held()
        endpoint.embeddings.then(Vectors(), Vectors(), held)
        openai = {"provider": "openai", "model": "m", "base_url": endpoint.base_url, "batch": 1}
        arguments, environ = command(config, **openai)
        async with await anyio.open_process(arguments, env=environ) as process:
            await held.reached.wait()
            process.kill()
        assert (models(config), settings(config)["index_version"]) == ([("openai/m", 1)], "0")
        check(config)
        await reindexed(by_endpoint(config, endpoint))
    assert (models(config), settings(config)["index_version"]) == ([("openai/m", 3)], "1")


@pytest.mark.promise("P2")
async def test_a_writer_with_the_new_settings_waits_for_a_reindex_and_loses_nothing(config: Config) -> None:
    german = by_words(config, *GERMAN)
    await fill(german, 2 * WRITES)
    async with client_of(german) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(reindexed, german)
        for number in range(30):
            await ok(client, "add_memory", content=f"Neue Häuser {number}")
    check(config)
    assert asked(config, "SELECT count(*) FROM memories") == [(2 * WRITES + 30,)]
    assert settings(config)["index_version"] == "1"
