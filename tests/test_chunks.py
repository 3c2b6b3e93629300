"""Chunks of a long conversation, and the estimate of tokens by which they are measured."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_memory.extraction.chunks import MIN_TOKENS, Chunk, chunks, cost
from mcp_memory.extraction.conversation import Message
from mcp_memory.text.tokens import estimate

WORDS = [
    "Rome",
    "the",
    "Übersetzung",
    "2026-03-01",
    "罗马",
    "опыт",
    "مدينة",
    "👩‍👩‍👧",
    "get_user_name",
    "x" * 700,
    "…",
    "a",
]
GAPS = [" ", " ", " ", ". ", "\n", "\n\n", "。", ""]
CONTENT = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS)), min_size=1, max_size=120).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["user", "assistant", "system"]),
        content=CONTENT,
        at=st.none() | st.integers(0, 10**15),
        name=st.none() | st.sampled_from(["bob", "አ" * 100]),
    ),
    max_size=25,
)

Part = tuple[str, int | None, str | None, str]


def user(content: str) -> Message:
    return Message(role="user", content=content)


def numbered(count: int, words: int = 40) -> list[Message]:
    return [user(f"{number}: " + "more words " * (words // 2)) for number in range(count)]


def said(found: list[Chunk]) -> list[Part]:
    """Everything to extract from."""
    return [(one.role, one.at, one.name, one.content) for chunk in found for one in chunk.messages]


def merged(parts: list[Part]) -> list[Part]:
    """The parts with those of one speaker and time put together that stand side by side."""
    whole: list[Part] = []
    for part in parts:
        if whole and whole[-1][:3] == part[:3]:
            whole[-1] = (*part[:3], whole[-1][3] + part[3])
        else:
            whole.append(part)
    return whole


@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.integers(MIN_TOKENS, 3_000), st.integers(0, 4))
def test_nothing_is_lost_doubled_or_moved_and_every_limit_is_held(
    messages: list[Message], tokens: int, overlap: int
) -> None:
    found = chunks(messages, tokens, overlap)
    assert merged(said(found)) == merged([(one.role, one.at, one.name, one.content) for one in messages])
    before: Chunk | None = None
    for chunk in found:
        assert chunk.messages
        assert chunk.tokens == sum(cost(one) for one in (*chunk.context, *chunk.messages)) <= tokens
        assert len(chunk.context) <= overlap
        assert sum(map(cost, chunk.context)) <= tokens // 4
        assert before is not None or chunk.context == ()
        for context, origin in zip(reversed(chunk.context), reversed(before.messages if before else ()), strict=False):
            assert origin.content.endswith(context.content)
            assert (origin.role, origin.at, origin.name) == (context.role, context.at, context.name)
        before = chunk


def test_a_conversation_that_fits_is_one_chunk_without_context() -> None:
    messages = numbered(5)
    assert chunks(messages, 1_000) == [
        Chunk(context=(), messages=tuple(messages), tokens=sum(cost(one) for one in messages))
    ]
    assert chunks([], 1_000) == []


def test_each_further_chunk_begins_with_the_last_messages_of_the_one_before_as_context() -> None:
    messages = numbered(60)
    found = chunks(messages, 1_000)
    assert len(found) > 2
    assert [one for chunk in found for one in chunk.messages] == messages
    for before, chunk in pairwise(found):
        assert chunk.context == before.messages[-2:]
    assert {chunk.context for chunk in chunks(messages, 1_000, overlap=0)} == {()}


def test_context_that_would_take_too_much_room_is_the_end_of_what_was_said() -> None:
    messages = [user(f"Beginning {number}. " + "Words of it. " * 150 + f"End {number}.") for number in range(4)]
    found = chunks(messages, 1_200)
    assert len(found) == 4
    for number, chunk in enumerate(found[1:]):
        [context] = chunk.context
        assert context.content.endswith(f"End {number}.")
        assert "Beginning" not in context.content
        assert len(context.content) > 200


@pytest.mark.parametrize(
    ("content", "ends"),
    [
        ("\n\n".join(["A line of words.\nAnd one more of them."] * 100), "\n\n"),
        ("\n".join(["One sentence. And another one, with commas."] * 100), "\n"),
        (" ".join(["This is a sentence of words, and not so short."] * 100), ". "),
        ("我搬到了罗马，住在河边，每天游泳。" * 100, "。"),
        ("word " * 2_000, " "),
    ],
    ids=["paragraphs", "lines", "sentences", "sentences in Chinese", "words"],
)
def test_a_message_too_long_for_a_chunk_is_split_at_the_best_border(content: str, ends: str) -> None:
    parts = [one.content for chunk in chunks([user(content)], 700) for one in chunk.messages]
    assert len(parts) > 2
    assert "".join(parts) == content
    assert all(part.endswith(ends) for part in parts[:-1])


@pytest.mark.parametrize("char", ["x", "9", "罗", "👩", "አ", " ", "\n", "-"])
def test_a_message_without_any_border_is_split_all_the_same(char: str) -> None:
    content = char * 100_000
    found = chunks([user(content)], MIN_TOKENS)
    assert "".join(one.content for chunk in found for one in chunk.messages) == content
    assert all(chunk.tokens <= MIN_TOKENS for chunk in found)


def test_english_below_another_language_does_not_hide_what_that_takes() -> None:
    content = ("Übersetzungsbüro Kirchplatz. " * 17 + "the of and that it you my for this with. " * 3) * 40
    found = chunks([user(content)], 700)
    assert "".join(one.content for chunk in found for one in chunk.messages) == content
    assert all(sum(cost(one) for one in (*chunk.context, *chunk.messages)) <= 700 for chunk in found)


def test_three_hundred_messages_are_a_few_chunks() -> None:
    found = chunks(numbered(300, words=60), 3_000)
    assert 8 <= len(found) <= 20


def test_a_chunk_that_could_hold_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 600 tokens, not 599"):
        chunks([user("Hello")], MIN_TOKENS - 1)


COUNTED = [
    ("I love Italian food and I'm learning Spanish. My daughter's name is Emma.", 17),
    ("Thanks! Moved to Berlin last spring, working remotely for Acme as a staff engineer.", 18),
    ("Ich wohne seit letztem Jahr in München und arbeite als Krankenschwester; meine Tochter geht zur Schule.", 27),
    ("Я переехал из Лиона в Берлин прошлой весной и теперь работаю медсестрой, моя дочь учится в школе.", 51),
    ("J'ai déménagé de Lyon à Berlin au printemps dernier et je travaille maintenant comme infirmier à l'hôpital.", 31),
    ("انتقلت من ليون إلى برلين في الربيع الماضي وأعمل الآن ممرضا في المستشفى.", 48),
    ("我去年春天从里昂搬到了柏林，现在在医院当护士，我女儿上小学。", 41),
    ("我去年春天從里昂搬到了柏林，現在在醫院當護士，我女兒上小學。", 45),
    ("去年の春にリヨンからベルリンに引っ越して、今は病院で看護師として働いています。", 43),
    ("https://github.com/modelcontextprotocol/python-sdk/blob/main/src/mcp/server.py?x=1&y=2", 24),
    ("2026-03-01T12:00:00.000Z", 15),
    ("PLEASE REMEMBER THAT MY FLIGHT LEAVES AT NINE", 13),
    ("123e4567-e89b-12d3-a456-426614174000", 18),
    ("😀🎉👍🏽👨‍👩‍👧❤️🚀 ok 🥳🥳", 37),
]  # fmt: skip
"""Texts, and the tokens that cl100k_base takes for them."""


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_the_estimate_is_hardly_below_what_a_tokenizer_counts_nor_twice_as_much(text: str, tokens: int) -> None:
    assert 0.95 * tokens <= estimate(text) <= 2 * tokens


def test_the_estimate_of_much_text_lies_closer() -> None:
    text = "\n".join(text for text, _ in COUNTED)
    assert 1 <= estimate(text) / sum(tokens for _, tokens in COUNTED) <= 1.25


@given(st.text(max_size=200))
def test_no_text_is_estimated_at_more_tokens_than_twice_its_bytes(text: str) -> None:
    assert 0 <= estimate(text) <= 2 * len(text.encode())


def test_hidden_signs_and_the_empty_text_have_an_estimate_too() -> None:
    assert [estimate(text) for text in ("", " ", "\u200b", "\ud800", "\U0010ffff")] == [0, 0, 3, 1, 4]
