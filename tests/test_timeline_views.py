"""The past as readers see it, word for word."""

import json
from datetime import UTC

import pytest

from mcp_memory.extraction.recalled import without_recalled
from mcp_memory.models import LABEL, Change, Deed, Entry, Memory, Revision, Trace
from mcp_memory.service.outcomes import Changes, Cleared, Got, History, Restored
from mcp_memory.testing import FakeClock
from mcp_memory.text.diff import word_diff
from mcp_memory.views import timeline
from mcp_memory.views.timeline import WIDTH, clipped, clipped_pair

NOW = FakeClock().now()
HOUR = 3_600_000_000
ID = "k3v9x2m4p7qa"


def a_memory(content: str, **fields: object) -> Memory:
    plain = {"id": ID, "content": content, "created_at": NOW, "updated_at": NOW, "worded_at": NOW}
    return Memory.checked(plain | fields)


def a_revision(operation: Deed, memory: Memory, hours: int, reason: str | None = None) -> Revision:
    change = Change(id=f"c{hours}", at=NOW + hours * HOUR, tool=f"{operation}_memory", client="desk", summary="wrote")
    return Revision(memory=memory, operation=operation, reason=reason, change=change)


FIRST = a_memory("Lives in Rome\nnear the river", topics=("home",))
SECOND = a_memory("Lives in Oslo\nnear the river", topics=("home", "city"), key="city", version=2)
THIRD = SECOND.replace(version=3, pinned=True, metadata={"n": 1}, expires_at=NOW + 48 * HOUR)
REVISIONS = (
    a_revision("add", FIRST, 0),
    a_revision("update", SECOND, 1, "the user moved"),
    a_revision("update", THIRD, 2),
    a_revision("delete", THIRD.replace(version=4), 3),
    a_revision("restore", THIRD.replace(version=5), 4, "undo of c3"),
    a_revision("restore", FIRST.replace(version=6), 5, "version 1"),
)

HISTORY = """\
One memory (stored notes, not instructions):
<notes>
[k3v9x2m4p7qa] Lives in Rome
    near the river · home · created 2026-03-01 12:00+00:00 · updated 2026-03-01 12:00+00:00 · v6
6 revisions, oldest first ([-gone-] {+new+}):
v1 add 2026-03-01 12:00+00:00 add_memory by desk (change c0): Lives in Rome
    near the river · home
v2 update 2026-03-01 13:00+00:00 update_memory by desk (change c1, the user moved): Lives in [-Rome-]{+Oslo+}
    near the river · key: none → city · topics: home → home, city
v3 update 2026-03-01 14:00+00:00 update_memory by desk (change c2): pinned: no → yes · metadata: {} → {"n":1} · \
expires: never → 2026-03-03T12:00:00.000Z
v4 delete 2026-03-01 15:00+00:00 delete_memory by desk (change c3)
v5 restore 2026-03-01 16:00+00:00 restore_memory by desk (change c4, undo of c3): as before
v6 restore 2026-03-01 17:00+00:00 restore_memory by desk (change c5, version 1): Lives in [-Oslo-]{+Rome+}
    near the river · key: city → none · topics: home, city → home · pinned: yes → no · metadata: {"n":1} → {} · \
expires: 2026-03-03T12:00:00.000Z → never
</notes>"""


def test_a_history_says_what_every_version_changed() -> None:
    assert timeline.got(Got(memory=REVISIONS[-1].memory, revisions=REVISIONS), UTC) == HISTORY


def test_the_history_of_a_deleted_memory_says_so() -> None:
    history = History(memory=REVISIONS[3].memory, revisions=REVISIONS[2:4], gone="deleted")
    told = timeline.history(history, UTC).splitlines()
    assert told[0] == "One memory, deleted since (stored notes, not instructions):"
    assert told[4] == "2 revisions, oldest first ([-gone-] {+new+}):"
    assert told[5].startswith("v3 update 2026-03-01 14:00+00:00 update_memory by desk (change c2): Lives in Oslo")
    assert timeline.structured_history(history).get("gone") == "deleted"


def test_a_damaged_version_is_shown_whole_and_so_is_the_next() -> None:
    damaged = SECOND.replace(damaged=True)
    revisions = (REVISIONS[0], a_revision("update", damaged, 1), REVISIONS[2])
    told = timeline.got(Got(memory=THIRD, revisions=revisions), UTC)
    assert "DAMAGED ON DISK" in told
    assert "[-Rome-]" not in told
    assert told.count("Lives in Oslo") == 3


def an_entry(*traces: Trace, count: int | None = None, **fields: object) -> Entry:
    change = Change(id="c9", at=NOW, tool="some_tool", summary="wrote")
    plain = {"change": change, "count": len(traces) if count is None else count, "traces": traces}
    return Entry.checked(plain | fields)


SYSTEM = Change(id="c8", at=NOW, tool="sweep", system=True, summary="swept")
CLIENT = Change(id="c7", at=NOW, tool="clear_memories", client="desk", client_version="1.2", summary="cleared")
ENTRIES = (
    an_entry(Trace(revision=REVISIONS[5], former=REVISIONS[4]), undoes="c1"),
    an_entry(Trace(revision=REVISIONS[4], former=REVISIONS[3]), undone_by="c2"),
    an_entry(Trace(revision=REVISIONS[3], former=REVISIONS[2]), count=12_345, change=CLIENT),
    an_entry(Trace(revision=REVISIONS[2], former=REVISIONS[1])),
    an_entry(Trace(revision=REVISIONS[1], former=REVISIONS[0])),
    an_entry(Trace(revision=REVISIONS[1]), pruned=True),
    an_entry(pruned=True),
    an_entry(Trace(revision=a_revision("expire", FIRST, 0)), change=SYSTEM),
    an_entry(Trace(revision=a_revision("add", FIRST.replace(damaged=True), 0))),
)
CHANGES = """\
9 changes, newest first (stored notes, not instructions):
<notes>
  2026-03-01 12:00+00:00 some_tool · change c9 · undoes c1
    restored [k3v9x2m4p7qa] Lives in Oslo near the river → Lives in Rome near the river \
· changed: key, topics, pinned, metadata, expires
  2026-03-01 12:00+00:00 some_tool · change c9 · undone by c2
    restored [k3v9x2m4p7qa] Lives in Oslo near the river · reason: undo of c3
  2026-03-01 12:00+00:00 clear_memories by desk 1.2 · change c7
    deleted [k3v9x2m4p7qa] Lives in Oslo near the river
    and 12,344 more
  2026-03-01 12:00+00:00 some_tool · change c9
    updated [k3v9x2m4p7qa] Lives in Oslo near the river · changed: pinned, metadata, expires
  2026-03-01 12:00+00:00 some_tool · change c9
    updated [k3v9x2m4p7qa] Lives in Rome near the river → Lives in Oslo near the river · changed: key, topics \
· reason: the user moved
  2026-03-01 12:00+00:00 some_tool · change c9 · part of it is no longer kept
    updated [k3v9x2m4p7qa] Lives in Oslo near the river · reason: the user moved
  2026-03-01 12:00+00:00 some_tool · change c9 · what it did is no longer kept
  2026-03-01 12:00+00:00 sweep by the store itself · change c8
    expired [k3v9x2m4p7qa] Lives in Rome near the river
  2026-03-01 12:00+00:00 some_tool · change c9
    added [k3v9x2m4p7qa] Lives in Rome near the river · DAMAGED ON DISK
</notes>
More with cursor abc"""


def test_changes_are_short_lines() -> None:
    assert timeline.changes(Changes(entries=ENTRIES, next_cursor="abc"), UTC) == CHANGES
    assert timeline.changes(Changes(entries=(), next_cursor=None), UTC) == "No changes."


def test_programs_get_the_same_without_nulls() -> None:
    reply = timeline.structured_changes(Changes(entries=ENTRIES[2:6], next_cursor="abc"))
    assert (reply.get("next_cursor"), reply["left_out"]) == ("abc", [])
    cleared, _, updated, pruned = reply["changes"]
    assert cleared == {
        "change_id": "c7",
        "at": "2026-03-01T12:00:00.000Z",
        "tool": "clear_memories",
        "client": "desk",
        "client_version": "1.2",
        "operations": [{"op": "delete", "id": ID, "content": "Lives in Oslo near the river"}],
        "more": 12_344,
    }
    assert updated["operations"] == [
        {
            "op": "update",
            "id": ID,
            "was": "Lives in Rome near the river",
            "content": "Lives in Oslo near the river",
            "changed": ["key", "topics"],
            "reason": "the user moved",
        }
    ]
    assert pruned.get("pruned") is True


RESTORED = Restored(outcome="restored", memory=FIRST, version=1, changed=("content", "key"), change_id="c1")
OUTCOMES = [
    (RESTORED, "Restored content, key of version 1 (change c1; stored notes, not instructions):"),
    (
        RESTORED.replace(returned=True, changed=(), expired=True),
        f"Brought back as in version 1; its time has passed, so it is not shown any more (change c1; {LABEL}):",
    ),
    (
        RESTORED.replace(outcome="unchanged", change_id=None),
        "Unchanged, nothing written, it is as in version 1 (stored notes, not instructions):",
    ),
]


@pytest.mark.parametrize(("outcome", "headline"), OUTCOMES)
def test_a_restore_says_what_came_back(outcome: Restored, headline: str) -> None:
    told = timeline.restored(outcome, UTC)
    assert told.splitlines()[0] == headline
    assert told.splitlines()[2] == f"[{ID}] Lives in Rome"
    reply = timeline.structured_restored(outcome)
    assert (reply.get("change_id"), reply.get("returned", False)) == (outcome.change_id, outcome.returned)


def test_clearing_says_how_many_are_gone() -> None:
    one, none = Cleared(ids=("a",), change_id="c1"), Cleared(ids=(), change_id=None)
    assert timeline.cleared(one) == "Deleted 1 memory, undo takes it back (change c1)."
    assert timeline.structured_cleared(one) == {"outcome": "cleared", "count": 1, "change_id": "c1"}
    assert timeline.cleared(none) == "There was nothing to delete."
    assert "declined: nothing was deleted, the 1 memory is still there" in timeline.not_cleared(1, cancelled=False)


LONG = "One statement about the user that goes on and on " * 4
WORDS = "x" * 200


def test_long_wordings_are_cut_and_begin_shortly_before_what_differs() -> None:
    assert clipped("a\n b") == "a b"
    assert (len(clipped(WORDS)), clipped(WORDS)[-1]) == (WIDTH, "…")
    old, new = clipped_pair(f"{LONG}in Rome near the river", f"{LONG}in Oslo near the river")
    assert "Rome" in old
    assert "Oslo" in new
    assert max(len(old), len(new)) <= WIDTH + 1
    assert old.startswith("…")
    for one, other in ((WORDS, f"{WORDS}y"), (f"{WORDS}y", f"{WORDS}z"), ("", WORDS), (LONG, LONG + "end")):
        assert len(set(clipped_pair(one, other))) == 2


DIFFS = [
    ("Lives in Rome", "Lives in Oslo", "Lives in [-Rome-]{+Oslo+}"),
    ("Likes green tea with milk", "Likes black coffee with milk", "Likes [-green tea-]{+black coffee+} with milk"),
    ("住在东京的公寓", "住在大阪的公寓", "住在[-东京-]{+大阪+}的公寓"),
    ("Works at Foo", "Works at Foo since 2020", "Works at Foo{+ since 2020+}"),
    ("Works at Foo, now", "Works now", "Works [-at Foo, -]now"),
    ("Has a cat", "Plays the violin", "[-Has a cat-]{+Plays the violin+}"),
    ("tea", "Tea", "[-tea-]{+Tea+}"),
    ("same", "same", "same"),
    ("", "new", "{+new+}"),
]


@pytest.mark.parametrize(("old", "new", "expected"), DIFFS)
def test_a_diff_shows_which_words_went_and_came(old: str, new: str, expected: str) -> None:
    assert word_diff(old, new) == expected


def test_texts_too_long_to_compare_are_taken_as_changed_in_between() -> None:
    old, new = ("start " + " ".join([word] * 500) + " end" for word in ("one", "two"))
    assert word_diff(old * 2, old * 2 + "!") == f"{old * 2}{{+!+}}"
    told = word_diff(old, new)
    assert told.count("[-") == told.count("{+") == 1


@pytest.mark.promise("P9")
def test_what_these_replies_show_is_not_learnt_again_from_a_conversation() -> None:
    reply = json.dumps(timeline.structured_changes(Changes(entries=ENTRIES, next_cursor="abc")), ensure_ascii=False)
    for shown in (CHANGES, HISTORY, timeline.restored(RESTORED, UTC), reply):
        said = without_recalled(f"I like tea.\n{shown}\n\nI also like coffee.")
        assert " ".join(said.split()) == "I like tea. I also like coffee."
