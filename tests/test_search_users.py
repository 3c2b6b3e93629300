"""A search is of one user alone: whoever else is in the file, and whichever process writes meanwhile."""

import random
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_memory.app import App, open_app, open_store
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import LeftOut, Origin, Step
from mcp_memory.sections import EmbeddingConfig, SearchConfig
from mcp_memory.service import MemoryService
from mcp_memory.testing import FakeClock
from tests.store.conformance import a_memory, write
from tests.support import ok, stdio

ORIGIN: Final = Origin(tool="test")
LIFE: Final = 300
OTHERS: Final = 20

WHO: Final = ["{}", "{}'s sister Nora", "Theo", "the neighbour of {}", "Mrs Petrova", "a colleague of {}"]
DID: Final = ["likes", "bought", "repaired", "talked about", "lost", "is looking for", "dreams of", "gave away", "sold"]
COLOUR: Final = ["green", "old", "tiny", "Italian", "broken", "heavy", "silver", "wooden", "second-hand"]
THING: Final = ["bicycles", "tea pots", "a cello", "maps", "a greyhound", "bees", "clocks", "a canoe", "window seats"]
WHERE: Final = [
    "in Leeds",
    "at the harbour",
    "near Oslo",
    "on Mill Road",
    "at work",
    "in 2025",
    "last summer",
    "online",
]
QUERIES: Final = [
    "bicycles",
    "who repaired a cello near Oslo",
    "What does Alice dream of?",
    "an old clock and its repair on Mill Road",
    "riding a bike in summer",
    "Alice's sister",
    "tea",
    "lost silver maps. Who gave bees away? And the Italian canoe of Mrs Petrova",
    "grehyound",
    "nothing whatsoever about quantum physics",
]


def life(name: str, seed: int) -> list[str]:
    """What `name` remembers: sentences of a small vocabulary, each once."""
    chosen = random.Random(seed)
    said: dict[str, None] = {}
    while len(said) < LIFE:
        parts = [chosen.choice(WHO).format(name), *(chosen.choice(words) for words in (DID, COLOUR, THING, WHERE))]
        said[" ".join(parts)] = None
    return list(said)


def nameless(contents: Sequence[str], name: str) -> list[str]:
    return list(dict.fromkeys(re.sub(rf"\b{name}('s)?\b", "someone", content) for content in contents))


async def live(app: App, lives: Mapping[str, Sequence[str]]) -> None:
    """What users have said, each in one change: several thousand adds would take a minute."""
    service = await app.service()
    async with open_store(app.config, FakeClock()) as store:
        for user, contents in lives.items():
            await write(store, user, *(Step(operation="add", memory=a_memory(content)) for content in contents))
            assert await service.vectors.complete(user) == len(contents)


class Answer(NamedTuple):
    hits: list[tuple[str, str]]
    scores: list[float]
    ranks: list[float]
    modes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


async def answer(service: MemoryService, user: str, query: str, **arguments: Any) -> Answer:
    found = await service.search(user, query, service.scope(), explain=True, **arguments)
    return Answer(
        hits=[(hit.memory.content, str(hit.match and hit.match.words)) for hit in found.hits],
        scores=[hit.score for hit in found.hits],
        ranks=[hit.match.rank for hit in found.hits if hit.match],
        modes=found.modes,
        left_out=found.left_out,
    )


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, list[str]]]:
    """A file of many users, alice in the middle of them, and one who says the same as she without any names."""
    users = [f"user{number}" for number in range(OTHERS)]
    users.insert(OTHERS // 2, "alice")
    lives = {user: life(user.title(), seed) for seed, user in enumerate(users)}
    lives["nameless"] = nameless(lives["alice"], "Alice")
    config = Config(database=str(tmp_path_factory.mktemp("town") / "memory.db"), timezone="UTC")

    async def fill() -> None:
        async with open_app(config, FakeClock()) as app:
            await live(app, lives)

    anyio.run(fill)
    return config, lives


@pytest.mark.promise("P1")
@pytest.mark.parametrize("user", ["alice", "nameless"])
@pytest.mark.parametrize("provider", ["builtin", "none"])
async def test_hits_and_scores_are_the_same_alone_and_among_twenty_other_users(
    config: Config, town: tuple[Config, dict[str, list[str]]], user: str, provider: Any
) -> None:
    crowded, lives = town
    async with open_app(config, FakeClock()) as app:
        await live(app, {user: lives[user]})
    embedding = EmbeddingConfig(provider=provider)
    async with (
        open_app(crowded.replace(embedding=embedding), FakeClock()) as many,
        open_app(config.replace(embedding=embedding), FakeClock()) as one,
    ):
        for query in QUERIES:
            for arguments in ({}, {"limit": 30, "min_score": 0}, {"limit": 2, "include_past": True}):
                among = await answer(await many.service(), user, query, **arguments)
                alone = await answer(await one.service(), user, query, **arguments)
                assert (alone.hits, alone.modes, alone.left_out) == (among.hits, among.modes, among.left_out)
                assert alone.scores == pytest.approx(among.scores, abs=1e-6)
                assert alone.ranks == pytest.approx(among.ranks, abs=1e-6)
                assert alone.hits or "min_score" not in arguments or provider == "none"


async def test_a_cache_too_small_for_all_users_gives_the_same_results(
    town: tuple[Config, dict[str, list[str]]],
) -> None:
    config, lives = town
    small = config.replace(search=SearchConfig(cache_mb=1))
    async with open_app(config, FakeClock()) as app, open_app(small, FakeClock()) as tight:
        service, bounded = await app.service(), await tight.service()
        for query in QUERIES[:3]:
            for user in (*lives, *reversed(lives)):
                assert await answer(bounded, user, query) == await answer(service, user, query)


TEXTS: Final = (
    "Nora likes bicycles 0",
    "Theo sold his tea pots 1",
    "Comet dreams of a cello 2",
    "Mrs Petrova repaired maps 0",
    "The plumber is looking for bees 1",
    "Nora gave away a greyhound 2",
    "Theo lost clocks 0",
    "Comet likes a canoe 1",
    "Mrs Petrova sold window seats 2",
)
"""No two of them say the same; every one holds 0, 1 or 2."""


class Act(NamedTuple):
    """One act of one process for one user; `number` chooses the memory or the text."""

    process: int
    user: str
    act: str
    number: int


ACTS: Final = ["add", "add", "add", "brief", "update", "touch", "delete", "undo", "wait", "search"]
STEPS: Final = st.lists(
    st.builds(
        Act,
        process=st.integers(0, 1),
        user=st.sampled_from(["alice", "bob"]),
        act=st.sampled_from(ACTS),
        number=st.integers(0, 40),
    ),
    min_size=8,
    max_size=30,
)


class World:
    """Two processes on one file, and what each user's memories must be."""

    def __init__(self, services: Sequence[MemoryService], clock: FakeClock) -> None:
        self._services = services
        self._clock = clock
        self._known: dict[str, dict[str, tuple[str, int | None]]] = {"alice": {}, "bob": {}}
        self._last: dict[str, dict[str, tuple[str, int | None]]] = {"alice": {}, "bob": {}}

    def living(self, user: str) -> dict[str, str]:
        """The texts of a user, by id."""
        now = self._clock.now()
        return {key: text for key, (text, expires) in self._known[user].items() if expires is None or expires > now}

    async def take(self, step: Act) -> None:
        service, user = self._services[step.process], step.user
        living = self.living(user)
        chosen = sorted(living)[step.number % len(living)] if living else None
        content = TEXTS[step.number % len(TEXTS)]
        match step.act:
            case "add" | "brief":
                await self._add(service, user, content, brief=step.act == "brief")
            case "update" if chosen and content not in living.values():
                await service.update(user, chosen, Fields(content=content), ORIGIN)
                self._known[user][chosen] = (content, self._known[user][chosen][1])
            case "touch" if chosen:
                await service.update(user, chosen, Fields(pinned=step.number % 2 == 0), ORIGIN)
            case "delete" if chosen:
                gone = self._known[user].pop(chosen)
                deleted = await service.delete(user, [chosen], ORIGIN)
                if step.number % 2:
                    await self._services[1 - step.process].undo(user, deleted.change_id, ORIGIN)
                    self._known[user][chosen] = gone
            case "wait":
                self._clock.advance(hours=step.number % 3)
            case _:
                pass
        await self.check()

    async def _add(self, service: MemoryService, user: str, content: str, *, brief: bool) -> None:
        expires = "1h" if brief else None
        added = await service.add(user, Fields(content=content, expires=expires), ORIGIN)
        assert (added.outcome == "exists") == (content in self.living(user).values())
        self._known[user][added.memory.id] = (content, added.memory.expires_at)

    async def check(self) -> None:
        """Every search of either process shows living memories of its user only, and finds each by its exact text."""
        for user in self._known:
            living = self.living(user)
            for service in self._services:
                found = await service.search(user, "nora theo comet petrova cello", service.scope())
                assert {hit.memory.id: hit.memory.content for hit in found.hits}.items() <= living.items()
                every = await service.search(user, "0 1 2", service.scope(), limit=100, min_score=0)
                assert {hit.memory.id: hit.memory.content for hit in every.hits} == living
                assert sum(one.count for one in every.left_out) == 0

    async def recall(self) -> None:
        """What was acknowledged is found first by its text, what is not there never."""
        for service in self._services:
            for user in self._known:
                living = set(self.living(user).values())
                for content in TEXTS:
                    hits = (await service.search(user, content, service.scope(), limit=3)).hits
                    if content in living:
                        assert hits[0].memory.content == content
                    assert {hit.memory.content for hit in hits} <= living


@asynccontextmanager
async def two_processes(folder: Path, clock: FakeClock) -> AsyncGenerator[World]:
    config = Config(database=str(folder / "memory.db"), timezone="UTC", search=SearchConfig(cache_mb=1))
    async with open_app(config, clock) as one, open_app(config, clock) as other:
        yield World([await one.service(), await other.service()], clock)


@pytest.mark.promise("P1")
@pytest.mark.promise("P3")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_two_processes_write_a_search_shows_what_is_there_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, *, steps: list[Act]
) -> None:
    async def run() -> None:
        async with two_processes(tmp_path_factory.mktemp("world"), FakeClock()) as world:
            for step in steps:
                await world.take(step)
            await world.recall()

    anyio.run(run)


PARTS: Final = ["Nora", "Theo", "Comet", "Mrs Petrova"]


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
async def test_searches_beside_writers_of_another_process_show_every_acknowledged_memory_and_no_deleted_one(
    tmp_path: Path,
) -> None:
    database = str(tmp_path / "memory.db")
    users = ("alice", "bob")
    async with (
        stdio("--database", database, "--identity", "argument") as one,
        stdio("--database", database, "--identity", "argument") as other,
    ):
        clients = (one, other)

        async def write_and_search(number: int) -> None:
            """Write by one process and at once search by both."""
            writer, user = clients[number % 2], users[number // 2 % 2]
            for place in range(len(THING)):
                # No two of them may say nearly the same: of those the newest would come first.
                content = f"{user} and {PARTS[number]} {DID[(place + number) % 9]} {THING[(place + 2 * number) % 9]}"
                added = await ok(writer, "add_memory", user_id=user, content=content)
                memory_id: str = added["memory"]["id"]
                for client in clients:
                    assert await contents(client, user, content, limit=1) == [content]
                    assert not any(user in hit for hit in await contents(client, other_of(user), content, limit=100))
                if place % 3 == 0:
                    await ok(writer, "update_memory", user_id=user, id=memory_id, content=f"{content} no more")
                    for client in clients:
                        assert await contents(client, user, content, limit=1) == [f"{content} no more"]
                if place % 3 == 1:
                    await ok(writer, "delete_memory", user_id=user, id=memory_id)
                    for client in clients:
                        assert content not in await contents(client, user, content, limit=100)

        async with anyio.create_task_group() as tasks:
            for number in range(len(PARTS)):
                tasks.start_soon(write_and_search, number)


def other_of(user: str) -> str:
    return "bob" if user == "alice" else "alice"


async def contents(client: Any, user: str, query: str, **arguments: Any) -> list[str]:
    found = await ok(client, "search_memories", user_id=user, query=query, **arguments)
    return [hit["content"] for hit in found["hits"]]
