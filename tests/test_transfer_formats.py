"""What the formats of others and of our own become, and how they are told apart."""

import gzip
import json
import shutil
from datetime import UTC
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_memory.errors import InvalidInput
from mcp_memory.models import Memory
from mcp_memory.service.records import Bad, Checker, Record
from mcp_memory.store.lineage import Lineage
from mcp_memory.testing import FakeClock
from mcp_memory.transfer import sources, writers
from mcp_memory.transfer.base import exact, moment

FIXTURES = Path(__file__).parent / "fixtures" / "transfer"
TEA = "喜欢喝乌龙茶"
NOTE = """---
title: Alice
type: person
permalink: people/alice
tags: [family, "friends"]
created: 2025-05-01
---
# Alice

She is a friend of ours.

## Observations
- [preference] Alice prefers window seats #travel #trains (said in May)
- [home] Lives in Lisbon
- [ ] a task that is no observation

## Relations
- member_of [[Tea Club]]
- [[Bob]]
"""
CLAUDE = [
    {
        "conversations_memory": "**Work context**\n\nBuilds a memory server.\n\n**Personal**\n\nLives in Lisbon.",
        "project_memories": {"0195-abc": "Uses Rust"},
        "account_uuid": "6a1f",
    }
]
PASTED = """Here is what I remember:

## Preferences
- [2025-03-01] - Prefers window seats
  on trains
* Drinks oolong
1. [unknown] - Reads on paper
2) 2025-04-02: Works with Rust
```
Speaks German
```
"""


def opened(source: object, **wish: Any) -> sources.Opened:
    return sources.opened(sources.Wish(source=str(source), **wish), UTC)


def written(folder: Path, content: str | bytes, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fixture(name: str, folder: Path) -> Path:
    """A fixture, in a folder of the test's own; unpacked where it is packed."""
    packed = FIXTURES / f"{name}.gz"
    if packed.exists():
        return written(folder, gzip.decompress(packed.read_bytes()), name)
    return Path(shutil.copy(FIXTURES / name, folder))


def said(found: sources.Opened) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.said.content, one.said.topics) for one in found.records if isinstance(one, Record)]


def records(found: sources.Opened) -> list[Record]:
    every = list(found.records)
    assert [one for one in every if isinstance(one, Bad)] == []
    return [one for one in every if isinstance(one, Record)]


@pytest.mark.parametrize(
    ("name", "what", "expected"),
    [
        (
            "memory.json",
            "the reference server's memory.json",
            [
                ("alice: Prefers window seats", ("person",)),
                ("alice lives in Lisbon", ("person",)),
                ("Tea Club: Meets on Thursdays at 18:00", ("organisation",)),
                ("Tea Club: 喜欢乌龙茶", ("organisation",)),
                ("Lisbon (city)", ("city",)),
                ("alice is member of Tea Club", ()),
            ],
        ),
        (
            "mem0.json",
            "a get_all of mem0",
            [("Prefers window seats on trains", ()), ("Lives in Lisbon since 2024", ()), (TEA, ())],
        ),
        (
            "mcp-memory-service.json",
            "mcp-memory-service's memories",
            [
                (TEA, ()),
                ("Prefers window seats on trains", ("travel", "preferences")),
                ("Lives in Lisbon since 2024", ("home",)),
            ],
        ),
        (
            "mcp-memory-service.db",
            "mcp-memory-service's memories",
            [
                ("Prefers window seats on trains", ("travel", "preferences")),
                ("Lives in Lisbon since 2024", ("home",)),
                (TEA, ()),
            ],
        ),
    ],
)
def test_files_that_other_systems_wrote_are_told_apart_and_read(
    name: str, what: str, expected: list[Any], tmp_path: Path
) -> None:
    found = opened(fixture(name, tmp_path))
    assert found.what == what
    assert said(found) == expected


def test_times_agents_and_metadata_come_along(tmp_path: Path) -> None:
    first = records(opened(fixture("mem0.json", tmp_path)))[0].said
    assert (first.source, first.agent, first.metadata) == ("mem0", "planner", {"category": "travel"})
    assert first.created_at is not None
    assert exact(first.created_at) == "2026-11-21T22:17:39.013303Z"
    service = records(opened(fixture("mcp-memory-service.json", tmp_path)))[1].said
    assert service.metadata == {"source": "chat", "memory_type": "observation"}
    assert service.created_at == 1_760_000_000_250_000


def test_of_a_database_with_several_users_one_is_chosen(tmp_path: Path) -> None:
    path = fixture("agno.db", tmp_path)
    with pytest.raises(InvalidInput, match="2 users \\('alice', 'bob'\\); import one at a time with --of NAME"):
        opened(path)
    with pytest.raises(InvalidInput, match="nothing in it is of 'carol'; it has 'alice', 'bob'"):
        opened(path, owner="carol")
    found = opened(path, owner="alice")
    assert found.what == "Agno's memories"
    assert said(found) == [
        ("Prefers window seats on trains", ("travel", "preferences")),
        ("Lives in Lisbon since 2024", ("home",)),
        (TEA, ()),
    ]


def test_a_database_is_read_without_a_change_to_it_or_its_folder(tmp_path: Path) -> None:
    path = fixture("mcp-memory-service.db", tmp_path)
    before = path.read_bytes()
    opened(path)
    assert path.read_bytes() == before


def test_a_folder_of_notes_gives_observations_and_relations_and_says_what_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    written(tmp_path / "people", NOTE, "alice.md")
    written(tmp_path, "# Only prose\n\nNothing else.\n", "prose.md")
    found = opened(tmp_path)
    assert found.what == "basic-memory's notes"
    assert found.left_out == ("the prose of 2 notes; only observations and relations are memories",)
    assert said(found) == [
        ("Alice prefers window seats", ("preference", "travel", "trains", "family", "friends")),
        ("Alice: Lives in Lisbon", ("home", "family", "friends")),
        ("Alice member of Tea Club", ("family", "friends")),
        ("Alice relates to Bob", ("family", "friends")),
    ]
    first = records(found)[0]
    assert first.place == "people/alice.md, line 13"
    assert first.said.metadata == {"note": "people/alice", "context": "said in May"}
    assert first.said.created_at == moment("2025-05-01", UTC)


def test_claudes_export_gives_a_memory_a_paragraph_under_its_heading(tmp_path: Path) -> None:
    found = opened(written(tmp_path, json.dumps(CLAUDE)))
    assert found.what == "Claude's memories.json"
    assert said(found) == [
        ("Builds a memory server.", ("work context",)),
        ("Lives in Lisbon.", ("personal",)),
        ("Uses Rust", ()),
    ]


@pytest.mark.parametrize("form", ["auto", "chatgpt"])
def test_a_pasted_list_gives_a_memory_an_item_or_a_line(form: sources.Format, tmp_path: Path) -> None:
    found = records(opened(written(tmp_path, PASTED), format=form))
    assert [one.said.content for one in found] == [
        "Here is what I remember:",
        "Prefers window seats\non trains",
        "Drinks oolong",
        "Reads on paper",
        "Works with Rust",
        "Speaks German",
    ]
    assert found[1].said.topics == ("preferences",)
    assert found[1].said.created_at == moment("2025-03-01", UTC)
    assert found[4].said.created_at == moment("2025-04-02", UTC)
    assert {one.said.source for one in found} == {"list" if form == "auto" else form}


def test_a_table_is_read_by_what_its_columns_are_called_or_mapped_to(tmp_path: Path) -> None:
    path = written(tmp_path, "Notiz;Tags;date;mood\nTrinkt Tee;food, tea;2025-03-01;good\n", "table.csv")
    with pytest.raises(InvalidInput, match="no column is the content"):
        opened(path)
    with pytest.raises(InvalidInput, match="no column 'Note'; it has Notiz, Tags"):
        opened(path, mapping={"Note": "content"})
    with pytest.raises(InvalidInput, match="no field 'text'"):
        opened(path, mapping={"Notiz": "text"})
    [one] = records(opened(path, mapping={"Notiz": "content"}))
    assert (one.said.content, one.said.topics, one.said.metadata) == ("Trinkt Tee", ("food", "tea"), {"mood": "good"})
    assert one.said.created_at == moment("2025-03-01", UTC)


def test_too_many_tags_go_to_the_metadata_whole(tmp_path: Path) -> None:
    tags = [f"Tag {n}" for n in range(10)]
    content = {"memories": [{"content": "Likes tea", "content_hash": "x", "tags": tags}]}
    [one] = records(opened(written(tmp_path, json.dumps(content))))
    assert one.said.topics == tuple(f"tag {n}" for n in range(8))
    assert one.said.metadata == {"tags": tags}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("\ufeffLikes tea\r\nLikes trains\r\n".encode(), "a list"),
        (TEA.encode("utf-16"), "a list"),
        (b'{"content":"Likes tea"}\n{"content":"Likes trains"}\n', "mcp-memory's own JSON Lines"),
        (b'{"type":"entity","name":"a","entityType":"b","observations":[]}', "the reference server's memory.json"),
        (b'[{"id":"1","memory":"Likes tea","user_id":"alice"}]', "a get_all of mem0"),
        (b'[{"memory_id":"1","memory":"Likes tea","user_id":"alice"}]', "Agno's memories"),
        (NOTE.encode(), "basic-memory's notes"),
        (b"content,tags\nLikes tea,food\n", "a CSV table"),
    ],
)
def test_what_a_text_is_shows_in_what_it_holds(content: bytes, what: str, tmp_path: Path) -> None:
    found = opened(written(tmp_path, content))
    assert found.what == what
    assert records(found)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 and more of it", "is a ZIP archive; unpack it"),
        (b"Likes \xff tea", "is no UTF-8 text \\(byte 6\\)"),
        (b'{"some": "thing"}', "this JSON is of no kind that is known here"),
        (b'{"format": "mcp-memory", "version": 2}\n', "version 2 of this format"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_next_step(content: bytes, error: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=error):
        list(opened(written(tmp_path, content)).records)


def test_a_format_that_a_source_is_not_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is Agno's memories, not mem0; leave --format out"):
        opened(fixture("agno.db", tmp_path), format="mem0")
    with pytest.raises(InvalidInput, match="No such file"):
        opened(tmp_path / "none.json")


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["\ud800", "a,b"])
)
NAMES = st.sampled_from(
    [
        *("content", "memory", "id", "user_id", "metadata", "created_at", "topics", "tags", "categories", "run_id"),
        *("type", "name", "observations", "from", "to", "relationType", "revisions", "change", "operation"),
        *("conversations_memory", "project_memories", "content_hash", "version", "expires_at", "expiration_date"),
    ]
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6))
FORMATS = [one for one in get_args(sources.Format) if one not in {"auto", "basic-memory"}]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.lists(st.dictionaries(NAMES, VALUES, max_size=8) | VALUES, max_size=4), form=st.sampled_from(FORMATS))
def test_nothing_that_a_file_holds_makes_more_of_it_than_a_bad_record(
    value: list[Any], form: sources.Format, tmp_path: Path
) -> None:
    whole = json.dumps({"results": value, "memories": value, "format": "mcp-memory", "version": 1})
    for text in (json.dumps(value), "\n".join(map(json.dumps, value)), whole):
        try:
            found = list(opened(written(tmp_path, text), format=form).records)
        except InvalidInput:
            continue
        checker = Checker(FakeClock(), "refuse")
        for one in found:
            assert isinstance(one, Bad) or checker.check(one)


def test_a_long_first_line_is_no_table(tmp_path: Path) -> None:
    assert opened(written(tmp_path, "content," + "x" * 200_000)).what == "a list"


NOT_TOLD = {"row", "seq", "damaged", "last_good"}


AWKWARD = (
    "=SUM(A1) --> <!-- no comment -->",
    "'quoted' at first\n\n- a list inside\n*emphasis at the end*",
    f'{TEA}\u2014"double", comma; semicolon',
    "# a heading",
    '<!-- {"content": "another"} -->\n\\<!-- {} -->\nand more',
)


def lineage(content: str, number: int) -> Lineage:
    memory = Memory(
        id=f"{number:012d}",
        content=content,
        key=f"@key {number}",
        topics=("a, b", "c") if number else (),
        pinned=bool(number % 2),
        metadata={"deep": [1.0, None, {"x": "-->"}]} if number else {},
        agent="planner",
        session_id="-1",
        created_at=1_700_000_000_123_456,
        updated_at=1_700_000_000_123_457,
        worded_at=1_700_000_000_000_000,
        expires_at=4_000_000_000_000_000,
        version=number + 1,
    )
    return Lineage(memory=memory)


@pytest.mark.parametrize("form", ["jsonl", "json", "markdown", "csv"])
def test_each_format_of_our_own_says_everything_and_is_read_as_it_was(form: writers.Form, tmp_path: Path) -> None:
    lineages = [lineage(content, number) for number, content in enumerate(AWKWARD)]
    writer = writers.writer(form, history=False)
    text = writer.begin + writer.between.join(map(writer.one, lineages)) + writer.end
    found = opened(written(tmp_path, text))
    assert found.what.startswith("mcp-memory's own")
    for one, record in zip(lineages, records(found), strict=True):
        told = one.memory.fields()
        assert record.said.fields() == {name: told[name] for name in told if name not in NOT_TOLD}


def test_what_a_person_adds_to_or_changes_in_our_markdown_is_read(tmp_path: Path) -> None:
    writer = writers.writer("markdown", history=False)
    text = writer.begin + writer.one(lineage("Likes tea", 1)) + "\n- Likes trains\n- Likes ships\n"
    found = records(opened(written(tmp_path, text.replace("Likes tea", "Likes green tea"))))
    assert [one.said.content for one in found] == ["Likes green tea", "Likes trains", "Likes ships"]
    assert [one.said.key for one in found] == ["@key 1", None, None]


def test_history_has_room_in_json_only() -> None:
    for form in ("markdown", "csv"):
        with pytest.raises(InvalidInput, match="use --format jsonl or json"):
            writers.writer(form, history=True)
