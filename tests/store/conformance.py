"""How each store is opened, and writing to and reading from one through nothing but the contract."""

import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pytest

from mcp_memory.candidates import frequencies
from mcp_memory.keys import Key
from mcp_memory.models import Candidates, Change, Deed, Entry, Filter, Memory, Revision, Step, fingerprint
from mcp_memory.store.base import Store
from mcp_memory.store.ephemeral import EphemeralStore
from mcp_memory.store.sqlite import open_store
from mcp_memory.store.transaction import Transaction
from mcp_memory.testing import FakeClock
from mcp_memory.text import Analyzer
from tests.support import needs

Thing = TypeVar("Thing")
Opening = AbstractAsyncContextManager[Store]
Stores = Callable[[], Opening]

NOW: Final = FakeClock().now()
DAY: Final = 86_400_000_000
LOCK_TIMEOUT: Final = 10.0
ANALYZER: Final = Analyzer()
_ids: Final = FakeClock()


@asynccontextmanager
async def _ephemeral() -> AsyncGenerator[Store]:
    yield EphemeralStore()


@asynccontextmanager
async def _sqlite() -> AsyncGenerator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "memory.db", NOW, LOCK_TIMEOUT) as store:
            yield store


@asynccontextmanager
async def _encrypted() -> AsyncGenerator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "memory.db", NOW, LOCK_TIMEOUT, key=Key("5a" * 32)) as store:
            yield store


STORES: Final[Mapping[str, Stores]] = {"ephemeral": _ephemeral, "sqlite": _sqlite, "encrypted": _encrypted}
"""A new store joins here, and must do everything that the `test_conformance` files and `test_agreement` say."""

_NEEDED: Final = {name: [needs("sqlcipher3")] if name == "encrypted" else [] for name in STORES}

over_every_store: Final = pytest.mark.parametrize(
    "stores", [pytest.param(store, id=name, marks=_NEEDED[name]) for name, store in STORES.items()]
)
"""For a whole file: each of its tests opens an empty store by `async with stores() as store`."""

over_every_other_store: Final = pytest.mark.parametrize(
    "other", [pytest.param(name, marks=_NEEDED[name]) for name in STORES if name != "ephemeral"]
)


def a_memory(content: str, **fields: Any) -> Memory:
    given: dict[str, Any] = {"id": _ids.new_id(), "content": content}
    given |= dict.fromkeys(("created_at", "updated_at", "worded_at"), NOW)
    return Memory(**given | fields)


def a_change(**fields: Any) -> Change:
    given: dict[str, Any] = {"id": _ids.new_id(), "at": NOW, "tool": "test", "summary": "wrote"}
    return Change(**given | fields)


async def write(store: Store, user: str, *steps: Step, **fields: Any) -> tuple[Change, list[Memory]]:
    """One change of these steps: as it is known to the store, and the memories as stored."""
    change = a_change(**fields)
    async with store.transaction(user) as turn:
        stored = await turn.record(change, steps)
        known = await turn.change(change.id)
    assert known is not None
    return known, stored


async def add(store: Store, user: str, content: str, **fields: Any) -> Memory:
    return (await write(store, user, Step(operation="add", memory=a_memory(content, **fields))))[1][0]


async def remove(store: Store, user: str, memory: Memory, operation: Deed = "delete") -> Memory:
    return (await write(store, user, Step(operation=operation, memory=memory)))[1][0]


async def reword(store: Store, user: str, memory: Memory, content: str) -> tuple[Change, Memory]:
    """An update of the text, a day later; the former wording becomes a past one."""
    change, stored = await write(store, user, rewording(memory, content))
    return change, stored[0]


def rewording(memory: Memory, content: str) -> Step:
    later = {"updated_at": memory.updated_at + DAY, "worded_at": memory.worded_at + DAY}
    fresh = {"content": content, "version": memory.version + 1} | later
    return Step(operation="update", memory=memory.replace(**fresh), supersedes=memory)


def back_to(memory: Memory, version: int) -> Step:
    """The step of an undo that brings `memory` back."""
    return Step(operation="restore", memory=memory.replace(version=version))


async def contents(store: Store, user: str, scope: Filter | None = None) -> list[str]:
    page = await store.page(user, scope or Filter(now=NOW), None, 1_000)
    return [memory.content for memory in page.memories]


class Row(NamedTuple):
    """A candidate that holds terms: bit n of `matched` for query term n, of `repeated` where it holds it again."""

    row: int
    matched: int
    length: int
    kept: bool = True
    repeated: int = 0


@dataclass(frozen=True)
class Seen:
    """Candidates as plain values, without those that hold no term."""

    documents: int
    mean_length: float
    frequencies: tuple[int, ...]
    rows: tuple[Row, ...]


def query_terms(query: str) -> list[str]:
    return list(ANALYZER.query_terms(query))


async def found(store: Store, user: str, query: str, scope: Filter | None = None) -> Seen:
    terms = query_terms(query)
    return seen(await store.candidates(user, terms, scope or Filter(now=NOW)), len(terms))


async def found_past(store: Store, user: str, query: str, scope: Filter | None = None) -> Seen:
    terms = query_terms(query)
    return seen(await store.past_candidates(user, terms, scope or Filter(now=NOW)), len(terms))


def seen(candidates: Candidates, terms: int) -> Seen:
    postings = candidates.postings
    matched = [_bits(postings.terms[postings.places == place]) for place in range(len(candidates.rows))]
    rows = (
        Row(
            row=int(candidates.rows[place]),
            matched=bits,
            length=int(candidates.lengths[place]),
            kept=bool(candidates.kept[place]),
            repeated=_bits(postings.terms[(postings.places == place) & postings.repeated]),
        )
        for place, bits in enumerate(matched)
        if bits
    )
    return Seen(
        documents=candidates.documents,
        mean_length=candidates.mean_length,
        frequencies=tuple(frequencies(candidates, terms)),
        rows=tuple(rows),
    )


def _bits(terms: Any) -> int:
    return sum(1 << term for term in terms.tolist())


@dataclass(frozen=True)
class Known:
    """What a curious caller could ask a store for."""

    memories: Sequence[str]
    keys: Sequence[str]
    changes: Sequence[str]
    contents: Sequence[str]
    queries: Sequence[Sequence[str]]
    scopes: Sequence[Filter]
    rows: range = range(40)


async def everything(store: Store, user: str, known: Known, now: int = NOW) -> dict[str, list[Any]]:
    """What every verb of the contract says to `user`, as plain values that compare equal across stores."""
    async with store.transaction(user) as turn:
        inside, ids = await _inside(turn, known, now)
    queries = [(query, scope) for query in known.queries for scope in known.scopes]
    held = [await store.revisions(user, one) for one in known.memories]
    outside: dict[str, list[Any]] = {
        "memory": _some([await store.memory(user, one, now) for one in known.memories]),
        "memory_by_key": _some([await store.memory_by_key(user, key, now) for key in known.keys]),
        "page": [one for scope in known.scopes for one in await _pages(store, user, scope)],
        "candidates": _rows([seen(await store.candidates(user, query, scope), len(query)) for query, scope in queries]),
        "newest": _rows([seen(await store.candidates(user, query, scope, 1), len(query)) for query, scope in queries]),
        "past_candidates": _rows(
            [seen(await store.past_candidates(user, query, scope), len(query)) for query, scope in queries]
        ),
        "foremost": _some([best if (best := await store.foremost(user, now, 1_000)).total else None]),
        "pending": [
            one
            for page in [await store.pending(user, now, 0, None, 100)]
            for one in (page.total, *page.memories)
            if one
        ],
        "living": sorted((await store.living(user, list(known.rows), now)).items()),
        "past": sorted((await store.past(user, list(known.rows), now)).items()),
        "revisions": [told(one, ids) for revisions in held for one in revisions],
        "change of user": [_change(one, ids) for one in _some([await store.change(user, c) for c in known.changes])],
        "changes": [_entry(one, ids) for one in await store.changes(user, 100, 2)],
    }
    return outside | inside


def told(revision: Revision, ids: Mapping[int, str]) -> tuple[Any, ...]:
    """A revision with its change by id: stores may number changes as they like."""
    return revision.memory, revision.operation, revision.reason, _change(revision.change, ids)


def _change(change: Change, ids: Mapping[int, str]) -> tuple[Any, ...]:
    plain = change.replace(seq=0, undoes=None, undone_by=None)
    others = [ids[seq] if seq else None for seq in (change.undoes, change.undone_by)]
    return plain, *others


def _entry(entry: Entry, ids: Mapping[int, str]) -> tuple[Any, ...]:
    traces = [
        (told(one.revision, ids), told(one.former, ids) if one.former is not None else None) for one in entry.traces
    ]
    return _change(entry.change, ids), entry.undoes, entry.undone_by, entry.count, traces, entry.pruned


async def _inside(turn: Transaction, known: Known, now: int) -> tuple[dict[str, list[Any]], Mapping[int, str]]:
    changes = _some([await turn.change(one) for one in known.changes])
    ids = {change.seq: change.id for change in changes}
    latest = await turn.latest_undoable()
    twins = [await turn.twins(fingerprint(content), None) for content in known.contents]
    twins += [await turn.twins(None, key) for key in known.keys]
    holders = await turn.holders([fingerprint(content) for content in known.contents], known.keys)
    histories = [await turn.history(row) for row in known.rows]
    aftermath = await turn.aftermath(known.rows[3:])
    wrote = [await turn.revisions_of(change) for change in changes]
    return {
        "memories": _by_row(await turn.memories(known.memories)),
        "twins": [_by_row(ones) for ones in twins if ones],
        "expired": _by_row(await turn.expired(now + 1_000 * DAY, 1_000)),
        "undecided": await turn.undecided(now, 1_000),
        "change": [_change(change, ids) for change in changes],
        "latest_undoable": _some([latest and latest.id]),
        "revisions_of": [told(one, ids) for revisions in wrote for one in revisions],
        "holders": _by_row(holders),
        "aftermath": [(row, [told(one, ids) for one in held]) for row, held in sorted(aftermath.items())],
        "history": [told(one, ids) for revisions in histories for one in revisions],
    }, ids


async def _pages(store: Store, user: str, scope: Filter) -> list[Memory | int]:
    """A walk through all pages of two, the total of each in front."""
    walked: list[Memory | int] = []
    before: int | None = None
    while True:
        page = await store.page(user, scope, before, 2)
        walked += [page.total, *page.memories] if page.memories else []
        if not page.more:
            return walked
        before = page.memories[-1].row


def _some(things: Sequence[Thing | None]) -> list[Thing]:
    return [thing for thing in things if thing is not None]


def _rows(all_candidates: Sequence[Seen]) -> list[Seen]:
    return [candidates for candidates in all_candidates if candidates.rows]


def _by_row(memories: Sequence[Memory]) -> list[Memory]:
    return sorted(memories, key=lambda memory: memory.row)
