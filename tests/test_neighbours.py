"""What is close to a new memory: by telling words, by meaning, and told with the score that a search has."""

import random
from pathlib import Path

import numpy as np
import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Filter, Origin, Step, Vector
from mcp_memory.ranking import COARSE
from mcp_memory.service import MemoryService
from mcp_memory.service.search import NEIGHBOUR_DEPTH
from mcp_memory.signs import closest, signs_of
from mcp_memory.store.sqlite import open_store
from mcp_memory.testing import FakeClock
from tests.store.conformance import NOW, a_memory, write

BY = Origin(tool="test")
CITIES = ("Rome", "Oslo", "Lima", "Cairo", "Quito", "Delhi", "Paris", "Accra")


async def near(service: MemoryService, content: str, user: str = "alice") -> dict[str, float]:
    """The neighbours of a new memory with their scores."""
    added = await service.add(user, Fields(content=content), BY)
    return {hit.memory.content: hit.score for hit in added.neighbours}


async def remember(service: MemoryService, *contents: str, user: str = "alice") -> None:
    for content in contents:
        await service.add(user, Fields(content=content), BY)


def visits(count: int) -> list[str]:
    return [f"Visited {CITIES[number % len(CITIES)]} on day {number} with colleagues" for number in range(count)]


async def test_one_rare_word_in_common_makes_a_neighbour_among_many_of_like_meaning(config: Config) -> None:
    async with open_app(config, FakeClock()) as app:
        service = await app.service()
        await remember(service, "Parcel KX9931B waits in the garage", *visits(40))
        assert "Parcel KX9931B waits in the garage" in await near(service, "Visited Rome for KX9931B with colleagues")


async def test_a_text_of_like_meaning_is_found_behind_any_number_of_newer_ones_that_share_its_words(
    config: Config,
) -> None:
    async with open_app(config, FakeClock()) as app:
        service = await app.service()
        old = "The grandmother of Anna keeps four hens behind her cottage"
        newer = [f"Cottage {number} behind the grandmother's garden has hens" for number in range(NEIGHBOUR_DEPTH)]
        await remember(service, old, *newer, *visits(30))
        close = await near(service, "The grandmother of Anna keeps five hens behind her cottage")
        assert old in close
        assert max(close, key=lambda content: close[content]) == old


async def test_the_same_words_in_any_order_score_at_most_one(config: Config) -> None:
    async with open_app(config, FakeClock()) as app:
        service = await app.service()
        words = "alpha beta gamma delta".split()
        for _ in range(8):
            random.Random(len(words)).shuffle(words)
            words.append(words.pop(0))
            scores = (await near(service, " ".join(words))).values()
            assert all(0 < score <= 1 for score in scores)


async def test_nobody_elses_and_nothing_that_is_gone_is_a_neighbour(config: Config) -> None:
    clock = FakeClock()
    async with open_app(config, clock) as app:
        service = await app.service()
        await remember(service, "Likes green tea in the morning", user="bob")
        gone = await service.add("alice", Fields(content="Likes green tea at noon"), BY)
        await service.delete("alice", [gone.memory.id], BY)
        await service.add("alice", Fields(content="Likes green tea at night", expires="1h"), BY)
        clock.advance(hours=2)
        assert await near(service, "Likes green tea in the evening") == {}


@pytest.mark.parametrize("dimensions", [1, 3, 63, 64, 65, 256, 1536])
def test_the_closest_by_signs_are_those_with_the_fewest_that_differ(dimensions: int) -> None:
    chance = np.random.default_rng(dimensions)
    vectors = chance.integers(-127, 128, (700, dimensions)).astype(np.int8)
    probe = chance.standard_normal(dimensions).astype(np.float32)
    differing = ((vectors > 0) != (probe > 0)).sum(axis=1)
    for limit in (1, 7, 128, 699, 700, 900):
        found = closest(signs_of(vectors), probe, limit)
        assert len(found) >= min(limit, 700)
        assert len(set(found.tolist())) == len(found)
        assert differing[found].max() <= np.sort(differing)[min(limit, 700) - 1]


async def test_vectors_that_come_late_count_also_where_thousands_before_have_none(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    plain = [Step(operation="add", memory=a_memory(f"Fact {number}")) for number in range(4_100)]
    late = Step(operation="add", memory=a_memory("Late"), vector=Vector(0.5, bytes((1, 2, 3))))
    async with open_store(path, NOW, 10) as store:
        await write(store, "alice", *plain, late)
    async with open_store(path, NOW, 10) as store:
        found = await store.candidates("alice", (), Filter(now=NOW))
        assert found.codes is not None
        assert found.codes[-1].tolist() == [1, 2, 3]
        assert np.flatnonzero(found.scales).tolist() == [4_100]
        assert found.signs is not None
        assert len(found.signs) == 4_101 > COARSE
