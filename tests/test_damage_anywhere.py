"""Random bytes anywhere in the file: what is served is right, or marked, or refused in one line; nothing crashes."""

import random
import re
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import McpMemoryError, StoreError
from mcp_memory.guard import Fields
from mcp_memory.models import Memory, Origin
from mcp_memory.sections import EmbeddingConfig
from mcp_memory.service import MemoryService
from mcp_memory.testing import FakeClock
from mcp_memory.views import data, lines

ORIGIN = Origin(tool="add_memory", client="cursor")
WITH_WORDS = EmbeddingConfig()
WITHOUT = EmbeddingConfig(provider="none")
"""Reads what the file holds like any other, and starts without the table of words."""
PLACES = 200
SEED = 5
REMEDY = re.compile(r"mcp-memory (doctor|restore-backup)|update it with its full content|restart this client|try again")
KEYS = ("drink", "city", "editor")
WORDS = ("tea", "river", "Oslo", "piano", "nurse", "window", "garden", "winter", "東京", "Lyon")

Said = tuple[object, ...]


class World(NamedTuple):
    """A healthy file, what every version of every memory says, and which are the current ones, by user."""

    file: bytes
    said: Mapping[tuple[str, str, int], Said]
    current: Mapping[str, frozenset[str]]


def said(memory: Memory) -> Said:
    """Everything about a memory that has a checksum."""
    return (
        *(memory.content, memory.key, memory.topics, memory.pinned, dict(memory.metadata)),
        *(memory.created_at, memory.updated_at, memory.expires_at),
    )


def facts(user: str) -> Iterable[Fields]:
    for number in range(24):
        words = [WORDS[(number * step + len(user)) % len(WORDS)] for step in (1, 3, 7)]
        yield Fields(
            content=f"{user} number {number} likes {' and '.join(words)} since {1990 + number}",
            key=KEYS[number] if number < len(KEYS) else None,
            topics=words[:2] if number % 2 else None,
            metadata={"n": number, "of": user} if number % 5 == 0 else None,
            expires="300d" if number % 7 == 0 else None,
        )


@asynccontextmanager
async def serving(
    path: Path, clock: FakeClock, embedding: EmbeddingConfig = WITH_WORDS
) -> AsyncGenerator[MemoryService]:
    config = Config(database=str(path), timezone="UTC", embedding=embedding)
    async with open_app(config, clock) as app:
        yield await app.service()


@pytest.fixture
async def world(tmp_path: Path) -> World:
    path = tmp_path / "sound.db"
    async with serving(path, FakeClock()) as service:
        for user in ("alice", "bob"):
            added = [(await service.add(user, one, ORIGIN)).memory for one in facts(user)]
            for memory in added[::3]:
                await service.update(user, memory.id, Fields(content=f"{memory.content}, no longer so"), ORIGIN)
            await service.delete(user, [memory.id for memory in added[20:22]], ORIGIN)
            await service.update(user, added[5].id, Fields(pinned=True), ORIGIN)
            await service.undo(user, None, ORIGIN)
        known: dict[tuple[str, str, int], Said] = {}
        current: dict[str, frozenset[str]] = {}
        for user in ("alice", "bob"):
            memories = (await service.page(user, limit=100)).memories
            current[user] = frozenset(memory.id for memory in memories)
            for memory in memories:
                got = await service.get(user, memory.id, history=True)
                known |= {(user, memory.id, one.memory.version): said(one.memory) for one in got.revisions or ()}
    return World(path.read_bytes(), known, current)


class Judge:
    """Calls the service on a damaged file, and judges all that comes back."""

    def __init__(self, world: World, service: MemoryService) -> None:
        self._world = world
        self._service = service
        self.verdicts: Counter[str] = Counter()
        self.complaints: list[str] = []

    async def reads(self, user: str, ids: Iterable[str]) -> None:
        """Everything that shows memories of a user."""
        service = self._service
        search = partial(service.search, user, "river nurse", service.scope(), include_past=True)
        await self._asked(user, search, data.found, lines.found)
        await self._asked(user, partial(service.page, user, limit=100), data.listed, lines.listed)
        await self._asked(user, partial(service.get, user, key=KEYS[1]), data.got, lines.got)
        for memory in ids:
            await self._asked(user, partial(service.get, user, memory, history=True), data.got, lines.got)

    async def writes(self, user: str, memory: str) -> None:
        """Everything that takes over what is stored."""
        service = self._service
        update = partial(service.update, user, memory, Fields(pinned=True), ORIGIN)
        await self._asked(user, partial(service.undo, user, None, ORIGIN), data.undone, lines.undone)
        await self._asked(user, update, data.updated, lines.updated)
        await self._asked(user, partial(service.add, user, Fields(content="Is new"), ORIGIN), data.added, lines.added)

    async def _asked(
        self,
        user: str,
        ask: Callable[[], Awaitable[Any]],
        structured: Callable[[Any], Any],
        worded: Callable[[Any, None], str],
    ) -> None:
        try:
            outcome = await ask()
        except McpMemoryError as error:
            message = str(error)
            self.verdicts["refused"] += isinstance(error, StoreError)
            if "\n" in message or (isinstance(error, StoreError) and not REMEDY.search(message)):
                self.complaints.append(f"no remedy in one line: {message}")
            return
        worded(outcome, None)
        self._judge(user, structured(outcome), outcome)

    def _judge(self, user: str, structured: Any, outcome: Any) -> None:
        assert structured["label"]
        shown = [
            *([outcome.memory] if hasattr(outcome, "memory") else []),
            *getattr(outcome, "memories", ()),
            *(
                hit.memory
                for hit in (*getattr(outcome, "hits", ()), *getattr(outcome, "neighbours", ()))
                if not hit.past
            ),
            *(one.memory for one in getattr(outcome, "revisions", None) or ()),
        ]
        shown += [one.last_good for one in shown if one.last_good]
        for memory in shown:
            expected = self._world.said.get((user, memory.id, memory.version))
            written = memory.content == "Is new" or memory.updated_at > FakeClock().now()
            if memory.damaged:
                self.verdicts["marked"] += 1
            elif expected == said(memory) or (expected is None and written):
                self.verdicts["right"] += 1
            else:
                self.complaints.append(f"wrong, and not marked: {memory!r} is not {expected!r}")


def spoilt(file: bytes, place: int, chance: random.Random) -> bytes:
    """The file with one to four other bytes at a place."""
    new = bytes(chance.randrange(256) for _ in range(chance.choice((1, 1, 1, 2, 4))))
    return (
        file[:place]
        + bytes((one ^ 1 if one == old else one) for one, old in zip(new, file[place:], strict=False))
        + file[place + len(new) :]
    )


@pytest.mark.promise("P5")
async def test_random_bytes_anywhere_in_the_file_are_never_served_as_if_right(world: World, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    used = [place for place, byte in enumerate(world.file) if byte]
    path = tmp_path / "spoilt.db"
    total: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(PLACES):
        place = chance.choice(used) if number % 4 else chance.randrange(len(world.file))
        path.write_bytes(spoilt(world.file, place, chance))
        verdicts, complaints = await judged(world, path, chance)
        total[next(kind for kind in ("marked", "refused", "right", "closed") if verdicts[kind])] += 1
        wrong += [f"place {number}, byte {place}: {one}" for one in complaints]
        remove(path)
    sys.stdout.write(f"{PLACES} places: {dict(total)}, wrong {len(wrong)}, crashed 0\n")
    assert wrong == []
    assert total["right"] < PLACES


def remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


async def judged(world: World, path: Path, chance: random.Random) -> tuple[Counter[str], list[str]]:
    clock = FakeClock()
    clock.advance(hours=1)
    for _ in range(1_000):
        clock.new_id()  # those that the file has already
    try:
        async with serving(path, clock, chance.choice((WITHOUT, WITHOUT, WITHOUT, WITH_WORDS))) as service:
            judge = Judge(world, service)
            for user in ("alice", "bob"):
                await judge.reads(user, chance.sample(sorted(world.current[user]), 2))
            await judge.writes(chance.choice(("alice", "bob")), chance.choice(sorted(world.current["alice"])))
            return judge.verdicts, judge.complaints
    except StoreError as error:
        message = str(error)
        return Counter(closed=1), [] if REMEDY.search(message) or "another program" in message else [message]
