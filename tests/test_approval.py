"""New memories that wait for a person: what is proposed, accepted, refused, taken back and forgotten about."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mcp_memory.app import open_app, open_store
from mcp_memory.config import Config
from mcp_memory.errors import Conflict, InvalidInput, NotFound, UndoRefused
from mcp_memory.guard import Fields
from mcp_memory.models import AddOperation, Memory, Origin, State, UpdateOperation
from mcp_memory.sections import ApprovalConfig, EmbeddingConfig, RetentionConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.pending import VEIL, Person
from mcp_memory.testing import FakeClock

AGENT = Origin(tool="add_memory", client="desk", agent="planner")
PERSON = Person(tool="undo", client="terminal")


@pytest.fixture(params=["sqlite", "ephemeral"])
def stored(request: pytest.FixtureRequest, config: Config) -> Config:
    """All that is added waits, on either store."""
    wanted = {"approval": ApprovalConfig(mode="all"), "embedding": EmbeddingConfig(provider="none")}
    return config.replace(**wanted, ephemeral=request.param == "ephemeral")


@asynccontextmanager
async def opened(config: Config, clock: FakeClock) -> AsyncGenerator[MemoryService]:
    async with open_app(config, clock) as app:
        yield await app.service()


async def propose(service: MemoryService, content: str, **fields: Any) -> Memory:
    added = await service.add("alice", Fields(content=content, **fields), AGENT)
    assert added.outcome == "pending"
    return added.memory


async def counting(service: MemoryService) -> list[str]:
    """What everybody is shown, newest first."""
    return [one.content for one in (await service.page("alice")).memories]


async def waiting(service: MemoryService) -> list[str]:
    return [one.content for one in (await service.approvals.pending("alice")).memories]


async def found(service: MemoryService, query: str, *, past: bool = False) -> list[str]:
    hits = (await service.search("alice", query, service.scope(), include_past=past)).hits
    return [hit.memory.content for hit in hits]


async def test_what_is_proposed_waits_and_the_same_text_again_writes_nothing(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        first = await service.add("alice", Fields(content="Likes tea", topics=["drinks"]), AGENT)
        again = await service.add("alice", Fields(content="likes TEA", topics=["others"]), AGENT)
        assert (first.outcome, again.outcome, again.change_id) == ("pending", "pending", None)
        assert again.memory == first.memory
        assert (first.memory.state, first.memory.agent, first.memory.version) == (State.PENDING, "planner", 1)
        assert len((await service.timeline.changes("alice")).entries) == 1
        assert (await counting(service), await waiting(service)) == ([], ["Likes tea"])
        assert (await service.approvals.pending("bob")).total == 0


async def test_what_is_accepted_counts_and_is_found_by_its_words_at_once(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = await propose(service, "Likes tea", topics=["drinks"], key="drink", pinned=True)
        await propose(service, "Plays chess")
        assert await found(service, "tea drinks") == []
        clock.advance(hours=1)
        done = await service.approvals.accept("alice", [tea.id])
        assert (done.outcome, [one.id for one in done.memories], done.left) == ("accepted", [tea.id], ())
        got = (await service.get("alice", key="drink")).memory
        assert got == done.memories[0]
        assert (got.version, got.created_at, got.updated_at) == (2, tea.created_at, clock.now())
        assert (got.agent, got.pinned, got.topics) == ("planner", True, ("drinks",))
        assert (await found(service, "tea"), await waiting(service)) == (["Likes tea"], ["Plays chess"])


async def test_accepting_is_one_change_that_undo_takes_back_and_redo_repeats(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        ids = [(await propose(service, one)).id for one in ("Likes tea", "Plays chess")]
        done = await service.approvals.accept("alice", ids)
        back = await service.undo("alice", None, AGENT)
        assert (back.undone.id, back.undone.tool) == (done.change_id, "review")
        assert [step.memory.content for step in back.steps] == [VEIL, VEIL]
        assert (await counting(service), await waiting(service)) == ([], ["Plays chess", "Likes tea"])
        assert await found(service, "tea") == []
        await service.undo("alice", back.change_id, PERSON)
        assert (await counting(service), await waiting(service)) == (["Plays chess", "Likes tea"], [])
        assert await found(service, "tea") == ["Likes tea"]


async def test_refusing_is_one_change_that_undo_takes_back(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        ids = [(await propose(service, one)).id for one in ("Likes tea", "Plays chess")]
        done = await service.approvals.refuse("alice", ids)
        assert (done.outcome, [one.content for one in done.memories]) == ("refused", ["Likes tea", "Plays chess"])
        assert (await waiting(service), await counting(service)) == ([], [])
        back = await service.undo("alice", done.change_id, AGENT)
        assert [step.memory.content for step in back.steps] == [VEIL, VEIL]
        assert (await waiting(service), await counting(service)) == (["Plays chess", "Likes tea"], [])
        assert await found(service, "tea") == []
        again = await service.approvals.accept("alice", ids)
        assert [one.content for one in again.memories] == ["Likes tea", "Plays chess"]


async def test_a_proposal_is_taken_back_by_undo_and_comes_back_as_a_proposal(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        await propose(service, "Likes tea")
        back = await service.undo("alice", None, AGENT)
        assert await waiting(service) == []
        await service.undo("alice", back.change_id, AGENT)
        assert (await waiting(service), await counting(service)) == (["Likes tea"], [])


async def test_only_a_person_repeats_what_was_accepted(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = await propose(service, "Likes tea")
        await service.approvals.accept("alice", [tea.id])
        back = await service.undo("alice", None, PERSON)
        with pytest.raises(UndoRefused, match="only the user accepts"):
            await service.undo("alice", back.change_id, AGENT)
        assert (await counting(service), await waiting(service)) == ([], ["Likes tea"])


async def test_only_a_person_repeats_an_acceptance_that_replaced_another_memory(
    stored: Config, clock: FakeClock
) -> None:
    async with opened(stored, clock) as service:
        await service.add("alice", Fields(content="Lives in Rome", key="home"), PERSON)
        oslo = await propose(service, "Lives in Oslo", key="home")
        await service.approvals.accept("alice", [oslo.id])
        back = await service.undo("alice", None, AGENT)
        assert (await counting(service), await waiting(service)) == (["Lives in Rome"], ["Lives in Oslo"])
        with pytest.raises(UndoRefused, match="only the user accepts"):
            await service.undo("alice", back.change_id, AGENT)
        await service.undo("alice", back.change_id, PERSON)
        assert (await counting(service), await waiting(service)) == (["Lives in Oslo"], [])


async def test_an_agent_may_redo_its_own_change_of_proposals_and_corrections(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        rome = (await service.add("alice", Fields(content="Lives in Rome"), PERSON)).memory
        operations = [AddOperation(content="Likes tea"), UpdateOperation(id=rome.id, content="Lives in Oslo")]
        await service.apply("alice", operations, AGENT)
        back = await service.undo("alice", None, AGENT)
        assert (await counting(service), await waiting(service)) == (["Lives in Rome"], [])
        await service.undo("alice", back.change_id, AGENT)
        assert (await counting(service), await waiting(service)) == (["Lives in Oslo"], ["Likes tea"])


async def test_a_proposal_with_the_key_of_another_memory_replaces_it_only_when_accepted(
    stored: Config, clock: FakeClock
) -> None:
    async with opened(stored, clock) as service:
        rome = await service.add("alice", Fields(content="Lives in Rome", key="home", topics=["place"]), PERSON)
        oslo = await propose(service, "Lives in Oslo", key="home")
        assert (await service.get("alice", key="home")).memory.content == "Lives in Rome"
        clock.advance(days=1)
        done = await service.approvals.accept("alice", [oslo.id])
        got = (await service.get("alice", key="home")).memory
        assert (got.id, got.content, got.topics, got.version) == (rome.memory.id, "Lives in Oslo", ("place",), 2)
        assert done.memories == (got,)
        assert await found(service, "Rome", past=True) == ["Lives in Rome"]
        with pytest.raises(NotFound):
            await service.get("alice", oslo.id)


async def test_of_proposals_with_one_key_the_newest_counts_when_both_are_accepted(
    stored: Config, clock: FakeClock
) -> None:
    async with opened(stored, clock) as service:
        rome, tea, oslo = [
            await propose(service, content, key=key)
            for content, key in (("Lives in Rome", "home"), ("Likes tea", "drink"), ("Lives in Oslo", "home"))
        ]
        done = await service.approvals.accept("alice", [oslo.id, rome.id, tea.id])
        assert [one.id for one in done.replaced] == [rome.id]
        assert await counting(service) == ["Lives in Oslo", "Likes tea"]
        await service.undo("alice", done.change_id, PERSON)
        assert await waiting(service) == ["Lives in Oslo", "Likes tea", "Lives in Rome"]


async def test_two_people_who_review_at_once_do_no_harm(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea, chess = [await propose(service, one) for one in ("Likes tea", "Plays chess")]
        await service.approvals.accept("alice", [tea.id])
        done = await service.approvals.refuse("alice", [tea.id, chess.id, "nosuchmemory"])
        assert ([one.id for one in done.memories], done.left) == ([chess.id], (tea.id, "nosuchmemory"))
        assert await counting(service) == ["Likes tea"]
        for decide in (service.approvals.accept, service.approvals.refuse):
            with pytest.raises(NotFound, match="waits for approval"):
                await decide("alice", [tea.id, chess.id])
            with pytest.raises(NotFound, match="waits for approval"):
                await decide("bob", [chess.id])
            with pytest.raises(InvalidInput, match="1 to 100"):
                await decide("alice", [])


async def test_a_memory_is_accepted_as_the_person_words_it(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = await propose(service, "Likes tee", topics=["drinks"])
        with pytest.raises(InvalidInput, match="content"):
            await service.approvals.accept_as("alice", tea.id, Fields(content=" "))
        done = await service.approvals.accept_as("alice", tea.id, Fields(content="Likes tea"))
        assert [(one.id, one.content, one.topics) for one in done.memories] == [(tea.id, "Likes tea", ("drinks",))]
        assert await found(service, "tee", past=True) == [], "what was only proposed never held"
        got = await service.get("alice", tea.id, history=True)
        assert [one.memory.content for one in got.revisions or ()] == [VEIL, "Likes tea"]
        await service.undo("alice", None, PERSON)
        assert await waiting(service) == ["Likes tee"]


async def test_a_wording_that_another_memory_has_cannot_be_accepted(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        await service.add("alice", Fields(content="Likes tea"), PERSON)
        mate = await propose(service, "Likes mate")
        with pytest.raises(Conflict, match="says that already"):
            await service.approvals.accept_as("alice", mate.id, Fields(content="likes tea"))
        assert await waiting(service) == ["Likes mate"]


async def test_nobody_touches_what_waits_by_its_id(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = await propose(service, "Likes tea")
        for reach in (
            service.get("alice", tea.id),
            service.update("alice", tea.id, Fields(content="Likes mate"), AGENT),
            service.delete("alice", [tea.id], AGENT),
            service.timeline.history("alice", tea.id),
            service.timeline.restore("alice", tea.id, 1, AGENT),
        ):
            with pytest.raises(NotFound, match="waits for the user's approval"):
                await reach
        assert (await service.timeline.clear("alice", 0, AGENT)).ids == ()
        assert await waiting(service) == ["Likes tea"]


async def test_what_is_there_is_changed_without_waiting(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = (await service.add("alice", Fields(content="Likes tea"), PERSON)).memory
        confirmed = await service.add("alice", Fields(content="likes tea", topics=["drinks"]), AGENT)
        assert (confirmed.outcome, confirmed.memory.topics) == ("exists", ("drinks",))
        await service.update("alice", tea.id, Fields(content="Likes mate"), AGENT)
        assert (await counting(service), await waiting(service)) == (["Likes mate"], [])


@pytest.mark.parametrize("deed", ["add", "update", "undo", "restore"])
async def test_a_text_that_comes_to_count_another_way_waits_no_longer(
    stored: Config, clock: FakeClock, deed: str
) -> None:
    async with opened(stored, clock) as service:
        tea = (await service.add("alice", Fields(content="Likes tea"), PERSON)).memory
        await service.update("alice", tea.id, Fields(content="Likes mate"), AGENT)
        proposed = await propose(service, "Likes TEA", key="drink")
        match deed:
            case "add":
                await service.add("alice", Fields(content="Likes tea"), PERSON)
            case "update":
                await service.update("alice", tea.id, Fields(content="Likes tea"), AGENT)
            case "undo":
                changes = (await service.timeline.changes("alice")).entries
                await service.undo("alice", changes[1].change.id, AGENT)
            case _:
                await service.timeline.restore("alice", tea.id, 1, AGENT)
        assert (await waiting(service), (await counting(service))[0]) == ([], "Likes tea")
        with pytest.raises(NotFound, match="No memory"):
            await service.get("alice", proposed.id)
        assert (await service.undo("alice", None, AGENT)).undone.tool != "sweep"


@pytest.mark.parametrize(("mode", "held"), [("off", ""), ("extracted", "e"), ("all", "ae")])
async def test_the_mode_says_what_waits_and_a_person_never_does(
    stored: Config, clock: FakeClock, mode: Any, held: str
) -> None:
    async with opened(stored.replace(approval=ApprovalConfig(mode=mode)), clock) as service:
        operations = [AddOperation(content="Extracted"), AddOperation(content="Keyed", key="home")]
        added = (await service.add("alice", Fields(content="Added"), AGENT)).outcome
        applied = await service.apply("alice", operations, AGENT)
        assert added == ("pending" if "a" in held else "added")
        assert {one.memory.state for one in applied.done} == {State.PENDING if "e" in held else State.ACTIVE}
        assert (await service.add("alice", Fields(content="At hand"), PERSON)).outcome == "added"
        await service.apply("alice", [AddOperation(content="Imported")], PERSON)
        assert {"At hand", "Imported"} <= set(await counting(service))
        assert len(await waiting(service)) == len(held.replace("e", "ee"))


async def test_an_extraction_says_what_waits_already_and_writes_it_once(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        tea = await propose(service, "Likes tea")
        tried = await service.apply("alice", [AddOperation(content="likes tea")], AGENT, dry_run=True)
        done = await service.apply("alice", [AddOperation(content="likes tea")], AGENT)
        assert tried.skipped == done.skipped
        assert done.skipped[0].why == f"waits for approval already, as memory {tea.id}"
        assert (done.change_id, await waiting(service)) == (None, ["Likes tea"])


async def test_what_waits_goes_on_waiting_when_approval_is_switched_off(stored: Config, clock: FakeClock) -> None:
    async with open_store(stored, clock) as store:
        await propose(MemoryService(store, clock, approval=stored.approval), "Likes tea")
        off = MemoryService(store, clock)
        assert (await counting(off), await waiting(off)) == ([], ["Likes tea"])
        await off.add("alice", Fields(content="Likes tea"), AGENT)
        assert (await counting(off), await waiting(off)) == (["Likes tea"], [])


async def test_what_nobody_decides_about_runs_out_and_is_swept(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        old = await propose(service, "Likes tea")
        clock.advance(days=29)
        await propose(service, "Plays chess")
        assert await waiting(service) == ["Plays chess", "Likes tea"]
        clock.advance(days=1)
        assert await waiting(service) == ["Plays chess"]
        with pytest.raises(NotFound, match="waits for approval"):
            await service.approvals.accept("alice", [old.id])
        assert (await service.retention.sweep(RetentionConfig())).expired == 1
        assert (await service.retention.sweep(RetentionConfig())).expired == 0
        assert await waiting(service) == ["Plays chess"]


async def test_what_ran_out_but_is_not_swept_yet_can_be_proposed_anew(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        for content in ("Likes tea", "Plays chess"):
            await propose(service, content)
        clock.advance(days=30)
        await propose(service, "likes tea")
        await service.apply("alice", [AddOperation(content="plays chess")], AGENT)
        assert await waiting(service) == ["plays chess", "likes tea"]


async def test_a_proposal_whose_own_time_has_passed_waits_no_longer(stored: Config, clock: FakeClock) -> None:
    never = stored.replace(approval=ApprovalConfig(mode="all", expire_days=0))
    async with opened(never, clock) as service:
        tea = await propose(service, "Likes tea", expires="1h")
        await propose(service, "Plays chess")
        clock.advance(days=9_000)
        assert await waiting(service) == ["Plays chess"]
        with pytest.raises(NotFound, match="waits for approval"):
            await service.approvals.accept("alice", [tea.id])
        tidied = await service.optimizer.expire("alice", AGENT)
        assert (tidied.applied.done, tidied.suggestions) == ((), ())
        assert (await service.retention.sweep(RetentionConfig())).expired == 1


async def test_another_process_finds_what_was_accepted_and_loses_what_was_taken_back(
    config: Config, clock: FakeClock
) -> None:
    waits = config.replace(approval=ApprovalConfig(mode="all"))
    async with opened(waits, clock) as one, opened(waits, clock) as other:
        await other.add("alice", Fields(content="Lives in Rome"), PERSON)
        assert await found(other, "tea drinks") == []
        tea = await propose(one, "Likes tea", topics=["drinks"])
        assert await found(other, "tea drinks") == []
        await one.approvals.accept("alice", [tea.id])
        assert await found(other, "tea drinks") == ["Likes tea"]
        await one.undo("alice", None, PERSON)
        assert await found(other, "tea drinks") == []


async def pages(service: MemoryService, limit: int) -> Sequence[str]:
    seen: list[str] = []
    page = await service.approvals.pending("alice", limit)
    seen += [one.content for one in page.memories]
    while page.next_cursor:
        page = await service.approvals.pending("alice", limit, page.next_cursor)
        seen += [one.content for one in page.memories]
    return seen


async def test_what_waits_is_listed_page_by_page_newest_first(stored: Config, clock: FakeClock) -> None:
    async with opened(stored, clock) as service:
        await service.add("alice", Fields(content="Counts"), PERSON)
        for number in range(5):
            await propose(service, f"Number {number}")
        assert await pages(service, 2) == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
        first = await service.approvals.pending("alice", 2)
        assert (first.total, len(first.memories)) == (5, 2)
        with pytest.raises(InvalidInput, match="cursor"):
            await service.approvals.pending("bob", 2, first.next_cursor)
        with pytest.raises(InvalidInput, match="limit"):
            await service.approvals.pending("alice", 0)
