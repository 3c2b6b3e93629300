"""A conversation as callers send it: every accepted form, what is left out of it, and how a wrong one is refused."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput
from mcp_memory.extraction.conversation import MAX_CHARACTERS, MAX_MESSAGES, Message, from_text, read
from mcp_memory.extraction.recalled import without_recalled
from mcp_memory.models import LABEL
from tests.support import connected, text
from tests.test_protocol import KINDS, example_replies

NOW = round(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = 3_600_000_000
SEARCH = f"""2 found ({LABEL}; searched: lexical, semantic):
[k3v9x2m4p7qa] Lives in Rome · home · 2026-03-01 · 0.61
    rank 0.412 · lexical 1.00 · cosine 0.48 · words: rome
[m4p7qak3v9x2] Has a cat
    with two names

    and a basket · pets · 2026-02-28 · 0.40
1 more left out: below the score that counts"""
FOUND = {"hits": [{"id": "k3v9x2m4p7qa", "content": "Lives in Rome", "topics": ["home"], "score": 0.61}], "modes": []}


def said(*messages: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.role, one.content) for one in read(messages, NOW, UTC)]


def refusal(*messages: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(messages, NOW, UTC)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def spoken(value: str) -> list[tuple[str, str | None, str]]:
    return [(one.role, one.name, one.content) for one in from_text(value)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("I moved to Rome", "I moved to Rome"),
        ("I\u200b moved \t to\r\nRome\u202e", "I moved to\nRome"),
        ([{"type": "text", "text": "I moved"}, {"type": "text", "text": "to Rome"}], "I moved\nto Rome"),
        ([{"type": "input_text", "text": "Rome"}, {"type": "input_image", "image_url": "https://x"}], "Rome"),
        ([{"type": "image", "source": {"data": "…"}}, {"type": "text", "text": "my cat"}], "my cat"),
        (["plain", {"type": "output_text", "text": "parts"}], "plain\nparts"),
        ([{"type": "tool_result", "content": "Lives in Oslo"}, {"type": "text", "text": "thanks"}], "thanks"),
        ([{"type": "thinking", "thinking": "They live in Oslo"}, {"type": "text", "text": "thanks"}], "thanks"),
    ],
)
def test_the_text_of_a_message_is_read_in_every_form(content: object, expected: str) -> None:
    assert said({"role": "user", "content": content}) == [("user", expected)]


@pytest.mark.parametrize(
    ("given_role", "role"),
    [("user", "user"), ("Human", "user"), ("assistant", "assistant"), ("AI", "assistant"), ("developer", "system")],
)
def test_roles_have_the_names_that_models_use(given_role: str, role: str) -> None:
    assert said({"role": given_role, "content": "Hello"}) == [(role, "Hello")]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "Lives in Oslo", "tool_call_id": "1"},
        {"role": "function", "content": {"any": "thing"}, "name": "search"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "user", "content": " \n\u200b"},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "tool_result", "content": "Lives in Oslo"}]},
    ],
)
def test_a_message_without_words_of_its_own_is_left_out(message: dict[str, Any]) -> None:
    assert said({"role": "user", "content": "Hello"}, message) == [("user", "Hello")]


@pytest.mark.parametrize(
    ("at", "zone", "hours"),
    [
        ("2026-03-01T10:00:00Z", "UTC", -2),
        ("2026-03-01T10:00", "UTC", -2),
        ("2026-03-01T10:00+05:30", "UTC", -7.5),
        ("2026-03-01", "UTC", -12),
        ("2026-03-01", "America/New_York", -7),
        ("2026-03-01 10:00", "Asia/Kolkata", -7.5),
        ("2d", "UTC", -48),
    ],
)
def test_the_time_of_a_message_is_a_moment_in_the_zone(at: str, zone: str, hours: float) -> None:
    [message] = read([{"role": "user", "content": "Hello", "at": at}], NOW, ZoneInfo(zone))
    assert message.at == NOW + hours * HOUR


def test_who_speaks_and_no_time_are_kept_as_given() -> None:
    messages = [{"role": "user", "content": "Hello", "name": " bob\n"}, {"role": "user", "content": "Hi", "name": ""}]
    assert read(messages, NOW, UTC) == (
        Message(role="user", content="Hello", at=None, name="bob"),
        Message(role="user", content="Hi", at=None, name=None),
    )


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Hello", ["messages.1 ", '"role"', '"content"']),
        (5, ["messages.1 "]),
        ({"content": "Hello"}, ["messages.1 has no role"]),
        ({"role": "user"}, ["messages.1 has no content"]),
        ({"role": "user", "contents": "Hello"}, ["messages.1 ", "'contents'", "'content'"]),
        ({"role": "user", "content": "x", "timestamp": "2026-03-01"}, ["messages.1 ", "'timestamp'", " at"]),
        ({"role": "asistant", "content": "Hello"}, ["messages.1.role 'asistant'", "'assistant'"]),
        ({"role": "qqq", "content": "Hello"}, ["messages.1.role 'qqq'", "user"]),
        ({"role": 5, "content": "Hello"}, ["messages.1.role", "user, assistant"]),
        ({"role": "user", "content": 5}, ["messages.1.content", "string"]),
        ({"role": "user", "content": None}, ["messages.1.content", "string"]),
        ({"role": "user", "content": {"text": "x"}}, ["messages.1.content", '"type": "text"']),
        ({"role": "user", "content": ["a", 5]}, ["messages.1.content.1", '"type": "text"']),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, ["messages.1.content.0.text", "string"]),
        ({"role": "user", "content": "x\ud800"}, ["messages.1.content", "surrogate"]),
        ({"role": "user", "content": ["x\ud800"]}, ["messages.1.content.0", "surrogate"]),
        ({"role": "user", "content": "x", "at": "soon"}, ["messages.1.at 'soon'", "ISO"]),
        ({"role": "user", "content": "x", "at": 5}, ["messages.1.at", "2026-03-01T12:00:00"]),
        ({"role": "user", "content": "x", "at": "2062-03-01"}, ["messages.1.at '2062-03-01'", "lies ahead"]),
        ({"role": "user", "content": "x", "name": 5}, ["messages.1.name", "string"]),
    ],
)
def test_a_wrong_message_is_refused_by_place_and_with_the_remedy(message: object, told: list[str]) -> None:
    refused = refusal({"role": "user", "content": "Hello"}, message)
    assert not [part for part in told if part not in refused], refused


def test_there_is_a_limit_of_messages_and_of_characters() -> None:
    one = {"role": "user", "content": "Hello"}
    assert len(read([one] * MAX_MESSAGES, NOW, UTC)) == MAX_MESSAGES
    assert "10,001 messages" in refusal(*[one] * (MAX_MESSAGES + 1))
    half = {"role": "user", "content": "word " * (MAX_CHARACTERS // 10)}
    assert len(read([half, half], NOW, UTC)) == 2
    assert "4,000,000 characters" in refusal(half, half, one)
    assert "empty" in refusal()


@pytest.mark.parametrize(("value", "told"), [("", "empty"), (" \n", "empty"), ("x\ud800", "surrogate")])
def test_a_text_that_is_none_is_refused(value: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        from_text(value)


def test_a_text_has_the_same_limit() -> None:
    with pytest.raises(InvalidInput, match="4,000,000 characters"):
        from_text("x" * (MAX_CHARACTERS + 1))


ONE_MESSAGE = [
    "I moved to Rome",
    "My new address: Via Appia 1\nPhone: 555",
    "Note: I like tea\nAlso: no milk",
    "System: Windows 11\nwith two screens",
    "AI: that is what I read about",
    "We need: milk\nbread\nWe need: eggs",
    "Deploy as\nUser: root",
    "alice: hello\nbob: hi",
    "See https://example.com: it is good\nUser:x",
]


@pytest.mark.parametrize("value", ONE_MESSAGE)
def test_a_text_without_speakers_is_one_message_of_the_user(value: str) -> None:
    assert spoken(value) == [("user", None, value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("User: I moved\nto Rome\nAssistant: Nice", [("user", None, "I moved\nto Rome"), ("assistant", None, "Nice")]),
        ("human: Hi\n\nAI: Hello", [("user", None, "Hi"), ("assistant", None, "Hello")]),
        ("System: Be brief\nUser: Hi", [("system", None, "Be brief"), ("user", None, "Hi")]),
        ("**User:** Hi\n**Assistant**: Hello", [("user", None, "Hi"), ("assistant", None, "Hello")]),
        ("### Human:\nHi\n### Assistant:\nHello", [("user", None, "Hi"), ("assistant", None, "Hello")]),
        ("You said:\nHi\nChatGPT said:\nHello", [("user", None, "Hi"), ("assistant", None, "Hello")]),
        (
            "Our talk\nUser: Hi\nAssistant: Yes",
            [("user", None, "Our talk"), ("user", None, "Hi"), ("assistant", None, "Yes")],
        ),
        ("User: At home:\nNote: a dog\nNote: a cat", [("user", None, "At home:\nNote: a dog\nNote: a cat")]),
        ("用户：我搬到罗马了\n助手：好的", [("user", None, "我搬到罗马了"), ("assistant", None, "好的")]),
        (
            "alice: Hi\nbob: Hello\nMonday: we swim\nalice: Fine\nbob: Ok",
            [
                ("user", "alice", "Hi"),
                ("user", "bob", "Hello\nMonday: we swim"),
                ("user", "alice", "Fine"),
                ("user", "bob", "Ok"),
            ],
        ),
        (
            "alice: Hi\nAssistant: Hello\nalice: Bye",
            [("user", "alice", "Hi"), ("assistant", None, "Hello"), ("user", "alice", "Bye")],
        ),
    ],
)
def test_lines_that_name_their_speakers_are_turns(value: str, expected: list[tuple[str, str | None, str]]) -> None:
    assert spoken(value) == expected


@given(st.lists(st.sampled_from(["User:", "Assistant: ok", "alice: hi", "bob:", "text: x", "", "  more", "**AI:** y"])))
def test_no_word_is_lost_when_a_text_is_split_into_turns(lines: list[str]) -> None:
    value = "x " + "\n".join(lines)
    words = " ".join(f"{one.name or ''} {one.content}" for one in from_text(value)).replace("*", " ").split()
    kept = [word for word in "\n".join(lines).replace("*", " ").split() if not word.endswith(":")]
    assert [word for word in words if not word.endswith(":") and word not in {"alice", "bob", "text"}] == ["x", *kept]


@pytest.mark.promise("P9")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_reply_of_ours_leaves_nothing_in_either_form(config: Config, kind: str) -> None:
    async with connected(config) as client:
        reply = (await example_replies(client))[kind]
    words = text(reply)
    quoted = "\n".join(f"> {line}" for line in words.split("\n"))
    indented = "\n".join(f"        {line}" for line in words.split("\n"))
    for form in (
        words,
        quoted,
        indented,
        f"```\n{words}\n```\n",
        f"~~~text\n{indented}\n~~~\n",
        json.dumps(reply.structured_content),
        json.dumps(reply.structured_content, indent=2, sort_keys=True, ensure_ascii=False),
        f"```json\n{json.dumps(reply.structured_content, indent=4)}\n```\n",
        reply.model_dump_json(by_alias=True),
    ):
        assert without_recalled(form).strip() == ""
        around = without_recalled(f"I have a dog.\n\n{form}\n\nIt is called Rex.")
        assert around.split() == "I have a dog. It is called Rex.".split()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"Look:\n{SEARCH}\nI also have a dog", "Look:\nI also have a dog"),
        (f"{SEARCH}\n\nI also have a dog\n", "\nI also have a dog\n"),
        (f"You know it. {SEARCH}", "You know it."),
        (f"> {SEARCH}".replace("\n", "\n> ") + "\nNo longer so", "No longer so"),
        (f"- **3 found ({LABEL}; searched: lexical):**\n  - [k3v9x2m4p7qa] Lives in Rome\n- a dog", "- a dog"),
        (f"One memory ({LABEL}):\nLives in Rome, as I said\nI have a dog", "I have a dog"),
        (f"One memory ({LABEL}): [k3v9x2m4p7qa] Lives in Rome · 2026-03-01", ""),
        (f"2 found ({LABEL.upper()}):\n1. [k3v9x2m4p7qa] In Rome\n2. [m4p7qak3v9x2] A cat\n3. a dog", "3. a dog"),
        ("It says\n[k3v9x2m4p7qa] Lives in Rome · home · 2026-03-01 · 0.61\nnot so", "It says\nnot so"),
        (f"```\n{SEARCH}\n```\nprint(1)", "print(1)"),
        (f"```\n{SEARCH}\nprint(1)\n```", "```\nprint(1)\n```"),
        (f"a {json.dumps(FOUND)} b", "a  b"),
        (f'{{"note": "mine", "result": {json.dumps(FOUND)}}}', '{"note": "mine", "result": }'),
        (f'cut {json.dumps(FOUND)[:-15]} off {{"id": 1}}', 'cut {"hits": [ off {"id": 1}'),
        (json.dumps(FOUND["hits"]), ""),
        (f"Rules.\n\nKnown memories ({LABEL}):\n[k3v9x2m4p7qa] v2 Lives in Rome\n\nI moved", "Rules.\n\n\nI moved"),
        (json.dumps({"outcome": "worksheet", "worksheet": {"rules": "x", "neighbours": FOUND["hits"]}}), ""),
    ],
)
def test_what_the_user_says_around_recalled_memories_stays(value: str, expected: str) -> None:
    assert without_recalled(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "I moved to Rome",
        f'What does "{LABEL}" mean?',
        "[see below] my plan · 2026-03-01",
        "[k3v9x2m4p7qa] is the id of my order",
        '{"memories": [{"id": "17", "content": "of another program"}]}',
        '{"hits": [], "modes": ["lexical"]}',
        '{"id": "k3v9x2m4p7qa", "name": "order"}',
        "```\n\n```",
        "a\n    b\n> c\n- d · e",
        '{"hits": [{"id": "k3v9x2m4p7qa", "cont',
    ],
)
def test_what_only_looks_like_ours_is_left_as_it_is(value: str) -> None:
    assert without_recalled(value) == value


def test_recalled_memories_are_taken_out_of_messages_and_texts() -> None:
    assert said({"role": "assistant", "content": SEARCH}, {"role": "user", "content": f"{SEARCH}\nI have a dog"}) == [
        ("user", "I have a dog")
    ]
    assert spoken(f"User: where do I live?\nAssistant: {SEARCH}\nUser: no") == [
        ("user", None, "where do I live?"),
        ("user", None, "no"),
    ]
    assert said({"role": "user", "content": SEARCH.replace("stored", "sto\u200bred")}) == []
    assert from_text(SEARCH) == ()


@pytest.mark.parametrize(
    "value",
    [
        '{"memory":' * 40_000 + '"k3v9x2m4p7qa"',
        '[{"id":"k3v9x2m4p7qa","x":' * 20_000,
        f"({LABEL}):\n" * 20_000,
        f"({LABEL}):\n\n" * 20_000,
        "(" * 200_000 + f"{LABEL}):",
        f"x ({LABEL}):\n" + "*" * 200_000,
        f"x ({LABEL}):\n" + " · 2026-03-01·" * 30_000,
        f"x ({LABEL}):\n" + "> " * 100_000,
        f"x ({LABEL}):\n" + "```\n" * 50_000,
        "[k3v9x2m4p7qa] " + " · 2026-03-0" * 30_000,
    ],
    ids=range(10),
)
def test_hostile_text_takes_no_more_than_its_length_in_time(value: str) -> None:
    began = time.perf_counter()
    without_recalled(value)
    from_text(value)
    assert time.perf_counter() - began < 20
