"""Every store says exactly the same after the same random life of two users."""

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcp_memory.errors import InvalidInput, McpMemoryError
from mcp_memory.guard import Fields
from mcp_memory.models import Filter, Origin, State, Step
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Undone
from mcp_memory.store.base import Store
from mcp_memory.testing import FakeClock
from tests.store.conformance import (
    DAY,
    NOW,
    STORES,
    Known,
    a_change,
    a_memory,
    everything,
    over_every_other_store,
    query_terms,
)

USERS = ("alice", "bob")
KEYS = ("home", "work", "Heim")
TOPICS = ("red", "blue", "grün")
WORDS = ("red", "apples", "tea", "CAFÉ", "東京都", "서울시에", "m²", "™", "the", "42")
AGENTS = ("planner", "writer", None)


class Move(NamedTuple):
    """One thing that happens. `pick` chooses among the memories or changes that the user has by then."""

    kind: str
    user: str
    content: str
    fields: dict[str, Any]
    agent: str | None
    pick: int
    hours: int


def moves() -> st.SearchStrategy[Move]:
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
    contents = words | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=12)
    fields = st.fixed_dictionaries(
        {},
        optional={
            "key": st.sampled_from(KEYS),
            "topics": st.lists(st.sampled_from(TOPICS), max_size=2),
            "pinned": st.booleans(),
            "expires": st.sampled_from(("1h", "2d", "")),
            "metadata": st.dictionaries(st.text(max_size=3), st.integers() | st.none() | st.floats(allow_nan=False)),
        },
    )
    kinds = ("add", "add", "update", "update", "update", "delete", "undo", "undo", "undo to", "pending", "fail")
    return st.builds(
        Move,
        kind=st.sampled_from(kinds),
        user=st.sampled_from(("alice", "alice", "bob")),
        content=contents,
        fields=fields,
        agent=st.sampled_from(AGENTS),
        pick=st.integers(0, 5),
        hours=st.sampled_from((0, 0, 0, 1, 30)),
    )


class Life:
    """One store, driven by moves; the same moves on another store give the same ids and times."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.service = MemoryService(store, self.clock)
        self.memories: dict[str, list[str]] = {user: [] for user in USERS}
        self.changes: dict[str, list[str]] = {user: [] for user in USERS}
        self.contents: list[str] = []

    async def make(self, move: Move) -> Any:
        """What the service answers, or how it refuses, without the numbers that a store gives to changes."""
        self.clock.advance(hours=move.hours)
        try:
            answer = await self._act(move)
        except McpMemoryError as error:
            return type(error), str(error)
        if answer["change_id"]:
            self.changes[move.user].append(answer["change_id"])
        return answer

    async def _act(self, move: Move) -> dict[str, Any]:
        origin = Origin(tool=move.kind, agent=move.agent, client="desk")
        fields = Fields.checked({"content": move.content, **move.fields})
        picked = _pick(self.memories[move.user], move.pick)
        match move.kind if picked != "none" else "add":
            case "add":
                added = await self.service.add(move.user, fields, origin)
                self.memories[move.user].append(added.memory.id)
                self.contents.append(added.memory.content)
                return added.fields()
            case "update":
                return (await self.service.update(move.user, picked, fields, origin)).fields()
            case "delete":
                return (await self.service.delete(move.user, [picked], origin)).fields()
            case "undo":
                return _told(await self.service.undo(move.user, None, origin))
            case "undo to":
                change = _pick(self.changes[move.user], move.pick)
                return _told(await self.service.undo(move.user, change, origin))
            case _:
                return await self._past_the_service(move)

    async def _past_the_service(self, move: Move) -> dict[str, Any]:
        """A memory that waits for approval, which no service makes yet; or one whose turn fails."""
        memory = a_memory(f"{self.clock.new_id()} waits", id=self.clock.new_id(), state=State.PENDING)
        change = a_change(id=self.clock.new_id(), at=self.clock.now())
        async with self.store.transaction(move.user) as turn:
            stored = await turn.record(change, [Step(operation="add", memory=memory)])
            if move.kind == "fail":
                raise InvalidInput("something came in between")
        self.memories[move.user].append(memory.id)
        return {"stored": stored, "change_id": change.id}

    async def reads(self, user: str) -> dict[str, Any]:
        """All that the store and the service say to `user` now."""
        now = self.clock.now()
        scopes = [
            Filter(now=now),
            Filter(now=now, topics=TOPICS[:2]),
            Filter(now=now, agent=AGENTS[0]),
            Filter(now=now, since=NOW + DAY // 24, until=NOW + 2 * DAY),
        ]
        queries = [query_terms(query) for query in (*WORDS[:4], " ".join(WORDS), *self.contents[-2:])]
        memories, changes = ([one for ids in lists.values() for one in ids] for lists in (self.memories, self.changes))
        known = Known(memories, KEYS, changes, self.contents, queries, scopes, range(2 * len(changes) + 2))
        told: dict[str, Any] = await everything(self.store, user, known, now)
        told["search"] = await self.service.search(user, " ".join(WORDS), scopes[0], include_past=True)
        return told


EXPIRED_ON_TOP = [
    Move("add", "alice", "tea", {}, "planner", 0, 0),
    Move("add", "alice", "red tea", {"expires": "1h"}, "planner", 0, 0),
    Move("add", "alice", "apples", {}, "planner", 0, 30),
]
"""The newest memory of a term is expired and not swept, when only one is looked at."""


def _told(undone: Undone) -> dict[str, Any]:
    """What an undo answers, but for the change it took back, which the stores number each in its way."""
    return {name: value for name, value in undone.fields().items() if name != "undone"}


def _pick(ids: list[str], pick: int) -> str:
    """The newest but `pick`."""
    return ids[-1 - pick % len(ids)] if ids else "none"


@pytest.mark.timeout(600)  # a failure takes minutes to be cut down to the moves that matter
@over_every_other_store
@given(life=st.lists(moves(), min_size=8, max_size=20))
@example(life=EXPIRED_ON_TOP)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_every_store_agrees_with_the_plain_one(other: str, life: list[Move]) -> None:
    async with STORES["ephemeral"]() as plain_store, STORES[other]() as tested_store:
        plain, tested = Life(plain_store), Life(tested_store)
        for move in life:
            assert await tested.make(move) == await plain.make(move), move
        for user in USERS:
            expected, told = await plain.reads(user), await tested.reads(user)
            assert told.keys() == expected.keys()
            for verb, wanted in expected.items():
                assert told[verb] == wanted, verb
