"""Random sequences of calls against a model of plain dictionaries: the whole semantics, on both stores (design, 5)."""

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from mcp import Client

from mcp_memory.config import Config
from mcp_memory.sections import EmbeddingConfig, SearchConfig
from mcp_memory.testing import FakeClock
from tests.support import Mode, call, connected, ok, text

pytestmark = pytest.mark.promise("P3")

State = dict[str, Any]
HOUR = 3_600_000_000
FIELDS = ("content", "key", "topics", "pinned", "metadata", "expires_at")
BLANK: State = {"key": None, "topics": [], "pinned": False, "metadata": {}, "expires_at": None}
UNKNOWN = "nosuchmemory"


@dataclass
class Change:
    """What one call wrote: each memory before it, in the order written."""

    id: str
    tool: str
    number: int
    before: dict[str, State | None] = field(default_factory=dict[str, State | None])
    undoes: "Change | None" = None
    undone: bool = False
    system: bool = False


@dataclass(frozen=True)
class Past:
    memory: str
    words: frozenset[str]
    content: str
    since: int
    until: int
    by: Change


@dataclass(frozen=True)
class Reply:
    structured: dict[str, Any]
    text: str
    is_error: bool

    def refuses(self, *named: str) -> None:
        assert self.is_error, self.text
        assert "\n" not in self.text
        for name in named:
            assert name in self.text, self.text


class Model:
    """One user's memories, as the design has them. `expect` holds a reply against it and follows what was written."""

    def __init__(self) -> None:
        self.now = 0
        self.present: dict[str, State] = {}
        self.revisions: dict[str, list[State]] = {}
        self.changes: list[Change] = []
        self.past: list[Past] = []

    def expect(self, tool: str, arguments: dict[str, Any], reply: Reply, now: int) -> None:
        self.now = now
        note(f"{tool} {arguments} -> {reply.text}")
        getattr(self, tool)(reply, **arguments)

    def add_memory(self, reply: Reply, **arguments: Any) -> None:
        wanted = self.wanted(arguments)
        by_text, by_key = self.in_the_way(wanted)
        if by_text and by_key and by_text != by_key:
            return reply.refuses(by_text, by_key)
        owner = by_text or by_key
        if owner is None:
            self.sweep_all()
            new = reply.structured["memory"]["id"]
            assert new not in self.revisions
            state = BLANK | wanted | {"created_at": self.now, "worded_at": self.now}
            self.write(reply, "add_memory", "add", {new: state}, wanted)
            return self.wrote(reply, "added", new)
        current = self.present[owner]
        if by_text:
            topics = dict.fromkeys([*current["topics"], *wanted.get("topics", ())])
            wanted = {name: value for name, value in wanted.items() if value}  # an add never clears
            wanted |= {"content": current["content"], "topics": list(topics)}
        if differing(current, wanted):
            self.write(reply, "add_memory", "update", {owner: current | wanted}, wanted)
        else:
            assert "change_id" not in reply.structured
        return self.wrote(reply, "exists" if by_text else "replaced", owner)

    def update_memory(self, reply: Reply, id: str, if_version: int | None = None, **arguments: Any) -> None:  # noqa: A002
        wanted = self.wanted(arguments)
        if not self.living(id):
            return reply.refuses(id)
        current = self.present[id]
        if if_version is not None and if_version != current["version"]:
            return reply.refuses(id, f"version {current['version']}")
        others = [one for one in self.in_the_way(wanted) if one not in {None, id}]
        if others:
            return reply.refuses(str(others[0]))
        changed = differing(current, wanted)
        if changed:
            self.write(reply, "update_memory", "update", {id: current | wanted}, wanted)
        else:
            assert "change_id" not in reply.structured
        assert sorted(reply.structured["changed"]) == sorted(name.removesuffix("_at") for name in changed)
        return self.wrote(reply, "updated" if changed else "unchanged", id)

    def delete_memory(self, reply: Reply, id: str | list[str]) -> None:  # noqa: A002
        ids = list(dict.fromkeys([id] if isinstance(id, str) else id))
        if missing := [one for one in ids if not self.living(one)]:
            return reply.refuses(*missing)
        assert reply.structured["memories"] == [self.view(one) for one in ids]
        self.write(reply, "delete_memory", "delete", dict.fromkeys(ids), {})
        return None

    def undo(self, reply: Reply, change_id: str | None = None) -> None:
        change = self.undoable(change_id)
        if change is None:
            return reply.refuses(change_id or "Nothing is left")
        if change.undone:
            return reply.refuses("undone already")
        if in_the_way := self.later(change) or self.takers(change):
            return reply.refuses(change.id, in_the_way[0])
        after = {one: state for one, state in change.before.items() if state or one in self.present}
        operations = [("restore" if state else "delete", one) for one, state in after.items()]
        self.sweep(*(state for state in after.values() if state), own=set(after))
        self.write(reply, "undo", "undo", after, {}, change)
        assert (reply.structured["undone"], reply.structured["tool"]) == (change.id, change.tool)
        shown = [(one["op"], one["memory"]["id"]) for one in reply.structured["operations"]]
        assert shown == sorted(operations, key=lambda one: (one[0] != "delete", one[1]))
        for operation in reply.structured["operations"]:
            last = self.revisions[operation["memory"]["id"]][-1]
            assert operation["memory"] == view(operation["memory"]["id"], last)
            if operation["op"] == "restore":
                assert operation.get("expired", False) == expired(last, self.now)
        return None

    def list_memories(self, reply: Reply, topics: Sequence[str] = (), limit: int = 50, cursor: str = "") -> None:
        assert not cursor
        kept = [one for one in self.listed() if not topics or set(topics) & set(self.present[one]["topics"])]
        assert reply.structured["total"] == len(kept)
        assert reply.structured["memories"] == [self.view(one) for one in kept[:limit]]
        assert ("next_cursor" in reply.structured) == (len(kept) > limit)

    def get_memory(self, reply: Reply, id: str = "", key: str = "", *, history: bool = False) -> None:  # noqa: A002
        found = [id] if self.living(id) else [one for one in self.listed() if key and self.present[one]["key"] == key]
        if not found:
            return reply.refuses(id or key)
        assert reply.structured["memory"] == self.view(found[0])
        if history:
            versions = [revision(one) for one in self.revisions[found[0]]]
            assert [{name: one.get(name) for name in versions[0]} for one in reply.structured["revisions"]] == versions
        return None

    def search_memories(
        self, reply: Reply, query: str, topics: Sequence[str] = (), *, limit: int = 10, include_past: bool = False
    ) -> None:
        # By its own words alone, all that holds them is found and nothing else; with vectors, what is close as well.
        near = any("as well" in one["reason"] for one in reply.structured["left_out"])
        by_words = not near and "semantic" not in reply.structured["modes"]
        living = [one for one in self.listed() if not by_words or query in words(self.present[one])]
        found: list[State] = [self.view(one) for one in living]
        former = [one for one in self.past if include_past and (near or query in one.words) and self.still_past(one)]
        period = [{"past": {"from": iso(one.since), "until": iso(one.until)}} for one in former]
        found += [
            self.view(one.memory) | {"content": one.content} | held for one, held in zip(former, period, strict=True)
        ]
        kept = [one for one in found if not topics or set(topics) & set(one["topics"])]
        hits = reply.structured["hits"]
        assert all(0 < hit["score"] <= 1 for hit in hits)
        shown = [{name: value for name, value in hit.items() if name != "score"} for hit in hits]
        assert len(shown) <= limit
        assert all(one in kept for one in shown)
        assert len({json.dumps(one, sort_keys=True) for one in shown}) == len(shown)
        if by_words:
            assert len(shown) == min(limit, len(kept))
            assert sum(one["count"] for one in reply.structured["left_out"]) == len(found) - len(shown)

    def listed(self) -> list[str]:
        return [one for one in reversed(self.revisions) if self.living(one)]

    def living(self, memory: str) -> bool:
        return memory in self.present and not expired(self.present[memory], self.now)

    def view(self, memory: str) -> State:
        return view(memory, self.present[memory])

    def wanted(self, arguments: dict[str, Any]) -> State:
        wanted = {name: value for name, value in arguments.items() if name in FIELDS}
        if "topics" in wanted:
            wanted["topics"] = list(dict.fromkeys(topic.lower() for topic in wanted["topics"]))
        if "key" in wanted:
            wanted["key"] = wanted["key"] or None
        if "expires" in arguments:
            expires = arguments["expires"]
            wanted["expires_at"] = self.now + int(expires.removesuffix("h")) * HOUR if expires else None
        return wanted

    def in_the_way(self, wanted: State) -> tuple[str | None, str | None]:
        living = {one: self.present[one] for one in self.listed()}
        same_text = [one for one, state in living.items() if "content" in wanted and same_text_as(state, wanted)]
        same_key = [one for one, state in living.items() if wanted.get("key") and state["key"] == wanted["key"]]
        return next(iter(same_text), None), next(iter(same_key), None)

    def undoable(self, change_id: str | None) -> Change | None:
        newest_first = [one for one in reversed(self.changes) if not one.system]
        if change_id is None:
            return next((one for one in newest_first if not one.undone and not one.undoes), None)
        return next((one for one in newest_first if one.id == change_id), None)

    def later(self, change: Change) -> list[str]:
        """The memories that a later standing change touched. A change and its undo after it cancel each other out."""
        standing = [one for one in self.changes[change.number + 1 :] if not one.undone and not one.system]
        effective = [one for one in standing if one.undoes is None or one.undoes.number < change.number]
        return [memory for one in effective for memory in one.before if memory in change.before]

    def takers(self, change: Change) -> list[str]:
        """The living memories that have a text or a key by now which the undo would bring back elsewhere."""
        wanted = [state for state in change.before.values() if state]
        others = [one for one in self.listed() if one not in change.before]
        return [one for one in others for state in wanted if clash(self.present[one], state)]

    def still_past(self, one: Past) -> bool:
        return self.living(one.memory) and not one.by.undone and not same_text_as(self.present[one.memory], vars(one))

    def sweep(self, *wanted: State, own: Iterable[str] = ()) -> None:
        """Removes expired memories that hold a text or key which is about to be written."""
        taken = [one for one, state in self.present.items() if any(clash(state, other) for other in wanted)]
        gone = [one for one in taken if not self.living(one) and one not in own]
        if gone:
            self.record(Change("", "sweep", len(self.changes), system=True), "expire", dict.fromkeys(gone))

    def sweep_all(self) -> None:
        """A new memory takes the expired ones away, the first twenty of them."""
        gone = [one for one in self.present if not self.living(one)]
        assert len(gone) <= 20
        if gone:
            self.record(Change("", "sweep", len(self.changes), system=True), "expire", dict.fromkeys(gone))

    def write(
        self,
        reply: Reply,
        tool: str,
        operation: str,
        after: dict[str, State | None] | dict[str, State] | dict[str, None],
        wanted: State,
        undoes: Change | None = None,
    ) -> None:
        assert not reply.is_error, reply.text
        self.sweep(wanted, own=after)
        change_id = reply.structured["change_id"]
        assert all(change_id != one.id for one in self.changes)
        change = Change(change_id, tool, len(self.changes), undoes=undoes)
        target, undone = undoes, True
        while target is not None:
            target.undone, target, undone = undone, target.undoes, not undone
        self.record(change, operation, after)

    def record(self, change: Change, operation: str, after: dict[str, Any]) -> None:
        self.changes.append(change)
        for memory, state in after.items():
            before = self.present.get(memory)
            last: State = dict(state or before or {})
            if operation == "update" and before and before["content"] != last["content"]:
                last["worded_at"] = self.now
                held = (before["content"], before["worded_at"], self.now)
                self.past.append(Past(memory, words(before), *held, change))
            earlier = self.revisions.setdefault(memory, [])
            last |= {"version": earlier[-1]["version"] + 1 if earlier else 1, "updated_at": self.now}
            done = ("restore" if state else "delete") if operation == "undo" else operation
            earlier.append(last | {"operation": done, "change_id": change.id})
            change.before[memory] = before
            self.present.pop(memory, None)
            if state is not None:
                self.present[memory] = last

    def wrote(self, reply: Reply, outcome: str, memory: str) -> None:
        assert reply.structured["outcome"] == outcome
        assert reply.structured["memory"] == self.view(memory)
        for neighbour in reply.structured.get("neighbours", ()):
            assert neighbour["id"] != memory
            assert {name: value for name, value in neighbour.items() if name != "score"} == self.view(neighbour["id"])


def expired(state: State, now: int) -> bool:
    return state["expires_at"] is not None and state["expires_at"] <= now


def same_text_as(state: State, other: State) -> bool:
    return state["content"].casefold() == other["content"].casefold()


def clash(state: State, wanted: State) -> bool:
    return ("content" in wanted and same_text_as(state, wanted)) or bool(
        wanted.get("key") and state["key"] == wanted["key"]
    )


def differing(state: State, wanted: State) -> list[str]:
    return [name for name in wanted if json.dumps(state[name]) != json.dumps(wanted[name])]


def words(state: State) -> frozenset[str]:
    return frozenset(" ".join([state["content"], *state["topics"], state["key"] or ""]).lower().split())


def iso(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def view(memory: str, state: State) -> State:
    times = {name: iso(state[name]) for name in ("created_at", "updated_at", "expires_at") if state[name] is not None}
    plain = {name: state[name] for name in ("content", "topics", "pinned", "metadata", "version")}
    return {"id": memory} | plain | times | ({"key": state["key"]} if state["key"] else {})


def revision(state: State) -> State:
    shown = {name: state[name] for name in (*FIELDS, "version", "operation")}
    times = {"at": iso(state["updated_at"]), "expires_at": state["expires_at"] and iso(state["expires_at"])}
    return shown | times | ({"change_id": state["change_id"]} if state["change_id"] else {})


@dataclass(frozen=True)
class Pick:
    """The one of the ids known by then that `number` comes to; a few numbers are no id at all."""

    number: int

    def of(self, ids: Sequence[str]) -> str:
        return UNKNOWN if self.number % 11 == 10 or not ids else ids[-1 - self.number % len(ids)]


@dataclass(frozen=True)
class Step:
    """A call whose ids are picked when it is made; the tool `wait` lets time pass instead."""

    tool: str
    arguments: dict[str, Any]
    user: int = 0

    def resolved(self, ids: Sequence[str], changes: Sequence[str], model: Model) -> dict[str, Any]:
        arguments = dict(self.arguments)
        if isinstance(picked := arguments.get("id"), Pick):
            arguments["id"] = picked.of(ids)
        elif isinstance(picked, list):
            arguments["id"] = [one.of(ids) for one in arguments["id"]]
        if isinstance(picked := arguments.get("change_id"), Pick):
            arguments["change_id"] = picked.of(changes)
        if "if_version" in arguments and arguments["id"] in model.present:
            arguments["if_version"] += model.present[arguments["id"]]["version"]
        return arguments


PICKS = st.builds(Pick, st.one_of(st.integers(0, 3), st.integers(0, 20)))
TOPICS = st.lists(st.sampled_from(["red", "blue", "Red"]), max_size=2)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "topics": TOPICS,
    "key": st.sampled_from(["", "home", "desk"]),
    "pinned": st.booleans(),
    "expires": st.sampled_from(["", "1h", "3h"]),
    "metadata": st.sampled_from([{}, {"n": 1}, {"n": True}]),
}
CONTENTS = st.sampled_from(["Rome", "rome", "Oslo river", "Oslo red", "Blue desk"])
KEYS = st.sampled_from(["home", "desk"])
VOCABULARY = ("rome", "oslo", "river", "red", "home", "desk")
WORDS = st.sampled_from(VOCABULARY)


def steps_of(tool: str, needed: dict[str, Any], optional: dict[str, Any], users: int = 1) -> st.SearchStrategy[Step]:
    arguments = st.fixed_dictionaries(needed, optional=optional)
    return st.builds(Step, st.just(tool), arguments, st.integers(0, users - 1))


def any_of(choices: Sequence[st.SearchStrategy[Step]]) -> st.SearchStrategy[Step]:
    """One of `choices`, as often as it is among them: `one_of` would count each only once."""
    return st.sampled_from(choices).flatmap(lambda chosen: chosen)


def writes(
    contents: st.SearchStrategy[str], optional: dict[str, st.SearchStrategy[Any]], users: int = 1
) -> list[st.SearchStrategy[Step]]:
    fields = {**optional, "content": contents}
    return [
        *[steps_of("add_memory", {"content": contents}, optional, users)] * 2,
        steps_of("update_memory", {"id": PICKS}, {**fields, "if_version": st.sampled_from([0, 0, 1])}, users),
        steps_of("update_memory", {"id": PICKS, "content": contents}, {}, users),
        steps_of("delete_memory", {"id": st.one_of(PICKS, st.lists(PICKS, min_size=1, max_size=3))}, {}, users),
    ]


def undos(users: int = 1) -> list[st.SearchStrategy[Step]]:
    return [steps_of("undo", {}, {}, users), steps_of("undo", {"change_id": PICKS}, {}, users)]


def reads(
    searched: st.SearchStrategy[str], keys: st.SearchStrategy[str], users: int = 1
) -> list[st.SearchStrategy[Step]]:
    limits = st.integers(1, 4)
    history = {"history": st.booleans()}
    narrowed = {"topics": st.sampled_from([["red"], ["red", "blue"], ["blue"]]), "limit": limits}
    return [
        steps_of("get_memory", {"id": PICKS}, history, users),
        steps_of("get_memory", {"key": keys}, history, users),
        steps_of("list_memories", {}, narrowed, users),
        steps_of("search_memories", {"query": searched}, {**narrowed, "include_past": st.booleans()}, users),
    ]


READS = ("get_memory", "list_memories", "search_memories")
WAITS = steps_of("wait", {"seconds": st.sampled_from([1, 1800, 3600])}, {})


@asynccontextmanager
async def pair(folder: Path, clocks: Sequence[FakeClock], mode: Mode) -> AsyncGenerator[tuple[Client, Client]]:
    """A client of each store, with clocks that go alike."""
    with TemporaryDirectory(dir=folder) as own:
        async with AsyncExitStack() as stack:
            config = Config(
                database=str(Path(own) / "memory.db"),
                user="alice",
                timezone="UTC",
                search=SearchConfig(min_score=0),
                embedding=EmbeddingConfig(provider="none"),
            )
            kept = await stack.enter_async_context(connected(config, mode, clocks[0]))
            plain = config.replace(ephemeral=True)
            yield kept, await stack.enter_async_context(connected(plain, mode, clocks[1]))


async def reply_of(client: Client, tool: str, arguments: dict[str, Any]) -> Reply:
    result = await call(client, tool, **arguments)
    return Reply(result.structured_content or {}, text(result), bool(result.is_error))


async def agreed(clients: Sequence[Client], tool: str, arguments: dict[str, Any]) -> Reply:
    """The reply that all stores give, to the letter."""
    replies = [await reply_of(client, tool, arguments) for client in clients]
    assert replies[0] == replies[1]
    return replies[0]


async def take(step: Step, model: Model, clients: Sequence[Client], clocks: Sequence[FakeClock]) -> None:
    for clock in clocks:
        clock.advance(seconds=step.arguments["seconds"] if step.tool == "wait" else 1)
    if step.tool != "wait":
        changes = [change.id for change in model.changes if not change.system]
        arguments = step.resolved(list(model.revisions), changes, model)
        model.expect(step.tool, arguments, await agreed(clients, step.tool, arguments), clocks[0].now())
    if step.tool in READS:
        return
    everything = await agreed(clients, "list_memories", {})
    model.expect("list_memories", {}, everything, clocks[0].now())


async def check_everything(model: Model, clients: Sequence[Client], now: int) -> None:
    """Every revision of what lives, and every former wording."""
    for memory in model.listed():
        arguments = {"id": memory, "history": True}
        reply = await agreed(clients, "get_memory", arguments)
        model.expect("get_memory", arguments, reply, now)
        assert [one["version"] for one in reply.structured["revisions"]] == [
            *range(1, len(model.revisions[memory]) + 1)
        ]
    for word in VOCABULARY:
        arguments = {"query": word, "include_past": True, "limit": 100}
        model.expect("search_memories", arguments, await agreed(clients, "search_memories", arguments), now)


MODES = st.sampled_from(["auto", "auto", "legacy"])
WRITES = writes(CONTENTS, OPTIONAL)


def rounds(
    written: Sequence[st.SearchStrategy[Step]],
    undone: Sequence[st.SearchStrategy[Step]],
    read: Sequence[st.SearchStrategy[Step]],
    most: int,
) -> st.SearchStrategy[list[Step]]:
    """Runs of writes, then of undos, then of reads, some times over: undo is interesting where it follows undo."""
    parts = st.tuples(
        st.lists(any_of([*written, WAITS]), min_size=most // 2, max_size=most),
        st.lists(any_of(undone), max_size=4),
        st.lists(any_of([*read, WAITS]), max_size=most),
    ).map(lambda one: [*one[0], *one[1], *one[2]])
    return st.lists(parts, min_size=2, max_size=5).map(lambda taken: [step for steps in taken for step in steps])


@pytest.mark.timeout(600)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mode=MODES, steps=rounds(WRITES, undos(), reads(WORDS, KEYS), 6))
def test_every_reply_is_the_models_and_both_stores_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, mode: Mode, steps: list[Step]
) -> None:
    async def run() -> None:
        model, clocks = Model(), (FakeClock(), FakeClock())
        async with pair(tmp_path_factory.getbasetemp(), clocks, mode) as clients:
            for step in steps:
                await take(step, model, clients, clocks)
            await check_everything(model, clients, clocks[0].now())

    anyio.run(run)


def restorable(model: Model) -> list[State]:
    """What an undo restores: all but the version and the time of the last change."""
    return [{**model.view(one), "version": None, "updated_at": None} for one in model.listed()]


@pytest.mark.timeout(600)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mode=MODES, steps=st.lists(any_of(WRITES), min_size=6, max_size=25))
def test_undo_walks_back_through_every_state_to_an_empty_store_and_redo_to_the_last(
    tmp_path_factory: pytest.TempPathFactory, mode: Mode, steps: list[Step]
) -> None:
    async def run() -> None:
        model, clocks = Model(), (FakeClock(), FakeClock())
        async with pair(tmp_path_factory.getbasetemp(), clocks, mode) as clients:
            states: list[list[State]] = [[]]
            for step in steps:
                await take(step, model, clients, clocks)
                if len(model.changes) >= len(states):
                    states.append(restorable(model))
            back = [Step("undo", {})] * (len(states) - 1)
            for step, state in zip(back, reversed(states[:-1]), strict=True):
                await take(step, model, clients, clocks)
                assert restorable(model) == state
            assert model.listed() == []
            (await agreed(clients, "undo", {})).refuses("Nothing is left to undo")
            undone = [change.id for change in reversed(model.changes) if change.undoes]
            for change_id, state in zip(undone, states[1:], strict=True):
                await take(Step("undo", {"change_id": change_id}), model, clients, clocks)
                assert restorable(model) == state
            await check_everything(model, clients, clocks[0].now())

    anyio.run(run)


async def test_an_undo_that_found_nothing_to_put_back_can_be_redone(
    config: Config, mode: Mode, clock: FakeClock
) -> None:
    async with connected(config, mode, clock) as client:
        expiring = await ok(client, "add_memory", content="Rome", expires="1h")
        clock.advance(hours=1)
        await ok(client, "add_memory", content="Rome")  # sweeps the expired one
        await ok(client, "undo")
        undone = await ok(client, "undo")
        assert (undone["undone"], undone["operations"]) == (expiring["change_id"], [])
        redone = await ok(client, "undo", change_id=undone["change_id"])
        assert redone["operations"] == []
        assert (await ok(client, "undo"))["undone"] == expiring["change_id"]
