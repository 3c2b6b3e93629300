"""Random proposals, decisions and undos: both stores agree, nothing that waits is shown, and undo comes to an end."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import anyio
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import McpMemoryError
from mcp_memory.guard import Fields
from mcp_memory.models import AddOperation, Memory, Origin
from mcp_memory.sections import ApprovalConfig, EmbeddingConfig, RetentionConfig, SearchConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.pending import VEIL, Person
from mcp_memory.testing import FakeClock

AGENT, PERSON = Origin(tool="add_memory"), Person(tool="add")
TEXTS = ("Lives in Rome", "lives in rome", "Lives in Oslo", "Likes tea", "Plays chess")
Deed = Literal["propose", "add", "extract", "update", "delete", "accept", "refuse", "undo", "redo", "sweep", "wait"]
DEEDS: Sequence[Deed] = (
    *("propose", "propose", "add", "extract", "update", "delete"),
    *("accept", "accept", "refuse", "undo", "undo", "redo", "sweep", "wait"),
)


@dataclass(frozen=True)
class Step:
    """One call; `pick` chooses among the ids and changes known by then."""

    deed: Deed
    text: str
    key: str | None
    pick: int
    expires: str | None


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(DEEDS),
        st.sampled_from(TEXTS),
        st.sampled_from([None, None, "home"]),
        st.integers(0, 5),
        st.sampled_from([None, None, None, "2d"]),
    ),
    min_size=5,
    max_size=30,
)


class Actor:
    """Takes the same steps on one store; what comes of each is plain data."""

    def __init__(self, service: MemoryService, clock: FakeClock) -> None:
        self.service = service
        self.clock = clock
        self.ids: list[str] = []
        self.changes: list[str] = []

    async def take(self, step: Step) -> Any:
        self.clock.advance(seconds=1)
        try:
            done = await self._done(step)
        except McpMemoryError as error:
            return type(error).__name__, str(error)
        if done is not None and getattr(done, "change_id", None):
            self.changes.append(done.change_id)
        return done and {name: value for name, value in done.fields().items() if name != "undone"}

    async def _done(self, step: Step) -> Any:
        one = self.ids[-1 - step.pick % len(self.ids)] if self.ids else "nosuchmemory"
        match step.deed:
            case "propose" | "add":
                fields = Fields(content=step.text, key=step.key, expires=step.expires)
                done = await self.service.add("alice", fields, AGENT if step.deed == "propose" else PERSON)
                self.ids += [done.memory.id] if done.memory.id not in self.ids else []
            case "extract":
                done = await self.service.apply("alice", [AddOperation(content=step.text, key=step.key)], AGENT)
            case "update":
                done = await self.service.update("alice", one, Fields(content=step.text), AGENT)
            case "delete":
                done = await self.service.delete("alice", [one], AGENT)
            case "accept":
                done = await self.service.approvals.accept("alice", [one, *self.ids[-step.pick :]])
            case "refuse":
                done = await self.service.approvals.refuse("alice", [one])
            case _:
                done = await self._moved(step)
        return done

    async def _moved(self, step: Step) -> Any:
        """What time and undo do."""
        match step.deed:
            case "undo":
                return await self.service.undo("alice", None, AGENT)
            case "redo":
                change = self.changes[-1 - step.pick % len(self.changes)] if self.changes else "nosuchchange"
                return await self.service.undo("alice", change, PERSON if step.pick % 2 else AGENT)
            case "sweep":
                return await self.service.retention.sweep(RetentionConfig())
            case _:
                self.clock.advance(days=step.pick)
                return None

    async def counting(self) -> list[Memory]:
        return list((await self.service.page("alice", limit=100)).memories)

    async def waiting(self) -> list[Memory]:
        return list((await self.service.approvals.pending("alice", 100)).memories)

    async def seen(self) -> tuple[list[Memory], list[Memory]]:
        """What counts and what waits, once it is certain that nothing shows the one for the other."""
        counting, waiting = await self.counting(), await self.waiting()
        texts = [one.content.casefold() for one in counting]
        keys = [one.key for one in counting if one.key]
        assert len(set(texts)) == len(texts)
        assert len(set(keys)) == len(keys)
        assert not {one.content.casefold() for one in waiting} & set(texts)
        found = await self.service.search("alice", "lives rome oslo likes tea plays chess", self.service.scope())
        assert {hit.memory.id for hit in found.hits} == {one.id for one in counting}
        for entry in (await self.service.timeline.changes("alice", limit=100)).entries:
            for trace in entry.traces:
                versions = [one.memory for one in (trace.revision, trace.former) if one is not None]
                assert all(one.content == VEIL for one in versions if one.state == "pending")
        return counting, waiting


@asynccontextmanager
async def acting(**where: Any) -> AsyncGenerator[Actor]:
    config = Config(
        user="alice",
        timezone="UTC",
        search=SearchConfig(min_score=0),
        embedding=EmbeddingConfig(provider="none"),
        approval=ApprovalConfig(mode="all", expire_days=4),
        **where,
    )
    clock = FakeClock()
    async with open_app(config, clock) as app:
        yield Actor(await app.service(), clock)


@pytest.mark.timeout(600)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_both_stores_agree_and_undo_walks_back_to_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    async def run() -> None:
        with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
            async with AsyncExitStack() as stack:
                places: list[dict[str, Any]] = [{"database": str(Path(folder) / "memory.db")}, {"ephemeral": True}]
                actors = [await stack.enter_async_context(acting(**where)) for where in places]
                for step in steps:
                    said = [await one.take(step) for one in actors]
                    note(f"{step} -> {said[0]}")
                    assert said[0] == said[1]
                    assert await actors[0].seen() == await actors[1].seen()
                await walk_back(actors)

    anyio.run(run)


async def walk_back(actors: Sequence[Actor]) -> None:
    """Undo everything that can be; both stores refuse or do the same."""
    for _ in range(40):
        said = [await one.take(Step("undo", "", None, 0, None)) for one in actors]
        assert said[0] == said[1]
        assert await actors[0].seen() == await actors[1].seen()
        if isinstance(said[0], tuple):
            return
    pytest.fail("undo never came to an end")
