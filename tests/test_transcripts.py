"""Files that hold conversations: each format as its program writes it, recognised by its shape."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_memory.errors import InvalidInput
from mcp_memory.extraction.transcripts import Format, parse
from mcp_memory.models import LABEL

ROME = {"role": "user", "content": "I moved to Rome"}
NICE = {"role": "assistant", "content": "Nice"}
SAID = [("user", "I moved to Rome"), ("assistant", "Nice")]
RECALLED = f"1 found ({LABEL}; searched: lexical):\n[k3v9x2m4p7qa] Lives in Oslo · 2026-03-01 · 0.61"


def micros(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp()) * 1_000_000


def said(data: str, form: Format = "auto") -> list[tuple[str, str]]:
    return [(one.role, one.content) for one in parse(data, UTC, form)]


def lines(*entries: Any) -> str:
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)


@pytest.mark.parametrize(
    "data",
    [
        lines(ROME, NICE),
        lines(ROME, NICE).replace("\n", "\r\n\r\n") + "\n",
        "\ufeff" + lines(ROME, NICE),
        json.dumps([ROME, NICE]),
        json.dumps([ROME, NICE], indent=2),
        json.dumps({"messages": [ROME, NICE]}),
        json.dumps({"title": "Rome", "messages": [ROME, NICE], "model": "x"}, indent=4),
        json.dumps([{"messages": [ROME]}, {"messages": [NICE]}]),
        json.dumps({"conversations": [{"messages": [ROME, NICE]}]}),
        lines({"messages": [ROME, NICE]}),
        lines({**ROME, "id": 7, "model": "x", "usage": {"tokens": 1}}, NICE),
        lines({"role": "human", "content": [{"type": "text", "text": "I moved to Rome"}]}, {**NICE, "role": "ai"}),
        "User: I moved to Rome\nAssistant: Nice\n",
        "user: I moved to Rome\n\nassistant: Nice",
    ],
)
def test_the_format_shows_in_the_data(data: str) -> None:
    assert said(data) == SAID


@pytest.mark.parametrize("data", ["I moved to Rome", "[2026] I moved", "{curly} words", "[x] done\n[ ] open"])
def test_what_is_no_json_is_text_of_the_user(data: str) -> None:
    assert said(data) == [("user", data)]


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("text", '{"role": "user"}', [("user", '{"role": "user"}')]),
        ("text", "User: Hi\nAI: Yes", [("user", "Hi"), ("assistant", "Yes")]),
        ("jsonl", lines(ROME), SAID[:1]),
        ("json", json.dumps(ROME), SAID[:1]),
    ],
)
def test_the_format_can_be_named(form: Format, data: str, expected: list[tuple[str, str]]) -> None:
    assert said(data, form) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ({"at": "2026-03-01T12:00:00Z"}, "2026-03-01T12:00:00+00:00"),
        ({"at": "2026-03-01 12:00"}, "2026-03-01T12:00:00+05:30"),
        ({"timestamp": "2026-03-01"}, "2026-03-01T00:00:00+05:30"),
        ({"created_at": 1_772_366_400}, "2026-03-01T12:00:00+00:00"),
        ({"create_time": 1_772_366_400.0}, "2026-03-01T12:00:00+00:00"),
        ({"timestamp": "soon", "date": "2026-03-01"}, "2026-03-01T00:00:00+05:30"),
        ({"at": None}, None),
        ({"at": True}, None),
        ({"at": -1e300}, None),
        ({"at": 10**40}, None),
        ({}, None),
    ],
)
def test_the_time_of_a_message_is_found_under_its_usual_names(time: dict[str, Any], expected: str | None) -> None:
    [message] = parse(lines({**ROME, **time}), ZoneInfo("Asia/Kolkata"))
    assert message.at == (micros(expected) if expected else None)


def test_a_number_that_json_does_not_know_is_no_time() -> None:
    [message] = parse('{"role": "user", "content": "Hi", "at": NaN}', UTC)
    assert message.at is None


def test_who_speaks_is_kept() -> None:
    assert [one.name for one in parse(lines({**ROME, "name": "bob"}, {**NICE, "name": 5}), UTC)] == ["bob", None]


def test_tools_and_recalled_memories_are_left_out() -> None:
    data = lines({**NICE, "content": RECALLED}, {"role": "tool", "content": {"any": "form"}}, ROME)
    assert said(data) == SAID[:1]
    assert said(f"User: I moved to Rome\nAssistant: {RECALLED}") == SAID[:1]


def claude(kind: str, content: Any, session: str = "s1", at: str = "2026-03-01T12:00:00.000Z", **more: Any) -> Any:
    return {
        "parentUuid": None,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/alice",
        "sessionId": session,
        "version": "2.0.1",
        "type": kind,
        "message": {"role": kind, "content": content},
        "uuid": "7f1c",
        "timestamp": at,
        **more,
    }


def test_a_session_of_claude_code_is_what_was_typed_and_answered() -> None:
    data = lines(
        {"type": "summary", "summary": "Moves to Rome", "leafUuid": "7f1c"},
        {"type": "file-history-snapshot", "messageId": "1", "snapshot": {}},
        claude("user", "Caveat: the messages below were made by commands", isMeta=True),
        claude("user", "<command-name>/clear</command-name>\n<command-args></command-args>"),
        claude("user", "I moved to Rome\n<system-reminder>\nLives in Oslo\n</system-reminder>"),
        claude("assistant", [{"type": "thinking", "thinking": "Lives in Oslo", "signature": "x"}]),
        claude("assistant", [{"type": "text", "text": "Nice"}, {"type": "tool_use", "id": "1", "input": {}}]),
        claude("user", [{"type": "tool_result", "tool_use_id": "1", "content": "Lives in Oslo"}]),
        claude("user", "Look for Oslo", isSidechain=True),
        claude("user", "This session is being continued: lives in Oslo", isCompactSummary=True),
        claude("assistant", [{"type": "text", "text": "API Error"}], isApiErrorMessage=True),
        {"type": "system", "content": "Lives in Oslo", "sessionId": "s1", "uuid": "9"},
        claude("user", [{"type": "text", "text": "I also swim"}, {"type": "image", "source": {}}]),
    )
    assert said(data) == [*SAID, ("user", "I also swim")]
    assert {one.at for one in parse(data, UTC)} == {micros("2026-03-01T12:00:00+00:00")}


def test_sessions_in_one_file_follow_each_other_in_order_of_time() -> None:
    data = lines(
        claude("user", "third", "s2", "2026-03-02T12:00:00Z"),
        claude("user", "first", "s1", "2026-03-01T12:00:00Z"),
        claude("user", "fourth", "s2", "2026-03-02T12:01:00Z"),
        claude("user", "second", "s1", "2026-03-03T12:00:00Z"),
    )
    assert [content for _, content in said(data)] == ["first", "second", "third", "fourth"]


def node(role: str, parent: str | None, parts: list[Any], at: float | None = None, **more: Any) -> dict[str, Any]:
    content = {"content_type": more.pop("content_type", "text"), "parts": parts}
    message = {"author": {"role": role}, "create_time": at, "content": content, "recipient": "all", **more}
    return {"message": message, "parent": parent, "children": []}


def exported(current: str | None = "e", start: float = 1_772_366_400.5) -> dict[str, Any]:
    """A conversation of ChatGPT's export: one question was edited, so that its first answer is on another branch."""
    hidden = {"is_visually_hidden_from_conversation": True}
    return {
        "title": "Rome",
        "create_time": start,
        "mapping": {
            "root": {"id": "root", "message": None, "parent": None, "children": ["a"]},
            "a": node("system", "root", ["Lives in Oslo"], metadata=hidden),
            "old": node("user", "a", ["I moved to Oslo"], start + 1),
            "old2": node("assistant", "old", ["Cold there"], start + 2),
            "b": node("user", "a", ["I moved to Rome", {"asset_pointer": "file://1"}], start + 10),
            "c": node("assistant", "b", [], content_type="thoughts"),
            "c2": node("assistant", "c", ["search('Oslo')"], recipient="browser"),
            "c3": node("tool", "c2", ["Lives in Oslo"]),
            "d": node("assistant", "c3", ["Nice"], None, content_type="multimodal_text"),
            "e": node("user", "d", [""], start + 12),
        },
        **({"current_node": current} if current else {}),
    }


@pytest.mark.parametrize("current", ["e", None])
def test_chatgpts_export_is_the_branch_seen_last(current: str | None) -> None:
    messages = parse(json.dumps([exported(current)]), UTC)
    assert [(one.role, one.content) for one in messages] == SAID
    assert [one.at for one in messages] == [1_772_366_410_500_000, None]
    assert said(json.dumps(exported(current))) == SAID


def test_conversations_of_an_export_come_in_order_of_time() -> None:
    later, earlier = exported(start=1_772_366_400), exported(start=1_672_366_400)
    earlier["mapping"]["b"]["message"]["content"]["parts"] = ["I live in Lyon"]
    assert [content for _, content in said(json.dumps([later, earlier]))] == [
        "I live in Lyon", "Nice", "I moved to Rome", "Nice",
    ]  # fmt: skip


def test_nodes_that_go_in_a_circle_are_read_once() -> None:
    loop = exported()
    loop["mapping"]["root"]["parent"] = "e"
    assert said(json.dumps([loop])) == SAID


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (lines(ROME, NICE) + "\n\n{nonsense", "line 4 is no JSON"),
        ('{"role": "user"\n' + lines(ROME, NICE), "line 1 is no JSON"),
        ('[\n{"role": "user", "content": "x"},\n{"role": "user" "content"}]', "line 3 is no JSON"),
        (lines(ROME, 5), "line 2 is no object"),
        (lines(ROME, {"content": "x"}), "line 2 has no role"),
        (lines(ROME, {"role": "user"}), "line 2 has no content"),
        (lines(ROME, {**ROME, "role": "usr"}), "line 2.role 'usr' is unknown; did you mean 'user'?"),
        (lines(ROME, {**ROME, "content": 5}), "line 2.content must be a string"),
        (lines(ROME, {**ROME, "content": "x"})[:-2] + '\\ud800"}', "line 2.content holds half of a surrogate pair"),
        (lines(ROME, {"type": "user", "sessionId": "1"}), "line 2 has no message"),
        (json.dumps([ROME, {"text": "x"}]), "[1] has no role"),
        (json.dumps({"messages": [ROME, {**ROME, "role": "usr"}]}), "messages[1].role 'usr'"),
        (json.dumps([{"messages": [ROME]}, {"messages": [ROME, 5]}]), "[1].messages[1] is no conversation"),
        (json.dumps({"title": "x"}), "the transcript has no role"),
        ("[" * 100_000, "nests too deep"),
        ("[" * 200 + "]" * 200, "the transcript nests lists deeper than 10 levels"),
        ("[" + '{"messages": [' * 200 + "]}" * 200 + "]", "the transcript nests lists deeper than 10 levels"),
        ('[{"a":' * 100_000, "nests too deep"),
        (f'[{{"role": {"9" * 10_000}}}]', "number that is too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_line_with_the_cause(data: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(data, UTC)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(["user", "text", "all", "a", "2026-03-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "message", "messages", "mapping", "author", "parts", "text", "content_type",
         "current_node", "parent", "a", "timestamp", "sessionId", "create_time", "metadata", "recipient", "name"]
    ), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(st.lists(JSON, min_size=1, max_size=3))
def test_any_json_is_read_or_refused_in_one_line(values: list[Any]) -> None:
    for data in (lines(*values), json.dumps(values)):
        problem = ""
        try:
            parse(data, UTC)
        except InvalidInput as error:
            problem = str(error)
        assert "\n" not in problem
