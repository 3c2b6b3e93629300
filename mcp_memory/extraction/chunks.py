"""A long conversation in chunks that a model can read one by one."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mcp_memory.extraction.conversation import Message
from mcp_memory.text.patterns import Pattern
from mcp_memory.text.tokens import estimate
from mcp_memory.values import Value

MIN_TOKENS: Final = 600
"""With fewer, a name of 100 signs that nobody tokenizes well would leave no room for what it says."""
HEADER: Final = 20
"""Tokens allowed for what a prompt says of a message besides its content: number, role, time."""

_CONTEXT_SHARE: Final = 4
"""At most one part in so many of a chunk is context."""
_MAX_LETTERS: Final = 6
"""Characters a token that hardly any text has: what is longer is not counted before it is cut."""
_MARGIN: Final = 0.95
"""How near to the limit the next part is tried, going by the tokens of the last."""
_BORDERS: Final = (
    Pattern(r"\n\s*\n"),
    Pattern(r"\n"),
    Pattern(r"[.!?…][\"'”’)\]]*\s|[。！？]"),
    Pattern(r"\s"),
)
"""After what a message is split, best first: a paragraph, a line, a sentence, a word."""


class Chunk(Value):
    """A stretch of a conversation. `context` was in the chunk before, and is there to be understood only.

    `tokens` is what `cost` says of all its messages together.
    """

    context: tuple[Message, ...]
    messages: tuple[Message, ...]
    tokens: int


class _Priced(NamedTuple):
    """A message, or a part of one, and its `cost`."""

    message: Message
    cost: int


def chunks(messages: Sequence[Message], tokens: int, overlap: int = 2) -> list[Chunk]:
    """`messages` in order as chunks of at most `tokens` estimated tokens each, context included.

    A message that alone is longer is split, at the end of a paragraph, line, sentence or word; its parts are messages
    of the same speaker and time, and put together they are its content. The context is the last `overlap` messages or
    parts of the chunk before; where they fill more than a quarter of a chunk, as many and as much of them as do not.

    Raises:
        ValueError: `tokens` is below 600.
    """
    if tokens < MIN_TOKENS:
        raise ValueError(f"a chunk needs at least {MIN_TOKENS} tokens, not {tokens}")
    share = tokens // _CONTEXT_SHARE if overlap > 0 else 0
    found: list[Chunk] = []
    context: list[_Priced] = []
    held: list[_Priced] = []
    room = tokens
    for part in (part for message in messages for part in _parts(message, tokens - share)):
        if held and part.cost > room:
            found.append(_chunk(context, held))
            context = _ends(held[-overlap:], share) if share else []
            room = tokens - sum(one.cost for one in context)
            held = []
        held.append(part)
        room -= part.cost
    return [*found, _chunk(context, held)] if held else found


def cost(message: Message) -> int:
    """The estimated tokens of a message in a prompt, with what is said of it there."""
    return _overhead(message) + estimate(message.content)


def _overhead(message: Message) -> int:
    return HEADER + (estimate(message.name) if message.name else 0)


def _chunk(context: Sequence[_Priced], held: Sequence[_Priced]) -> Chunk:
    return Chunk(
        context=tuple(one.message for one in context),
        messages=tuple(one.message for one in held),
        tokens=sum(one.cost for one in (*context, *held)),
    )


def _parts(message: Message, tokens: int) -> Iterator[_Priced]:
    """`message` itself if it takes at most so many tokens, else in parts."""
    overhead = _overhead(message)
    for content, price in _split(message.content, tokens - overhead):
        whole = len(content) == len(message.content)
        part = message if whole else message.replace(content=content)
        yield _Priced(part, overhead + price)


def _split(text: str, tokens: int) -> Iterator[tuple[str, int]]:
    """Parts of `text` of at most so many tokens, in order, each with its tokens."""
    start = 0
    size = most = tokens * _MAX_LETTERS
    while True:
        part = text[start : start + size]
        last = start + size >= len(text)
        if not last:
            part = part[: _border(part)]
        price = estimate(part)
        if price > tokens and len(part) > 1:
            size = max(1, int(len(part) * tokens / price * _MARGIN))
            continue
        yield part, price
        if last:
            return
        start += len(part)
        size = min(most, 1 + int(len(part) * tokens / max(1, price) * _MARGIN))


def _border(text: str) -> int:
    """Where `text` is best cut: after the last border of the best kind in its second half."""
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(text, len(text) // 2)]
        if ends:
            return ends[-1]
    return len(text)


def _ends(held: Sequence[_Priced], tokens: int) -> list[_Priced]:
    """The last of `held` within so many tokens; the first of those may be the end of one only."""
    kept: list[_Priced] = []
    for one in reversed(held):
        if one.cost > tokens:
            if tokens - _overhead(one.message) >= HEADER:
                kept.append(_end(one.message, tokens))
            break
        kept.append(one)
        tokens -= one.cost
    return kept[::-1]


def _end(message: Message, tokens: int) -> _Priced:
    """The end of a message that is longer than so many tokens."""
    room = tokens - _overhead(message)
    size = min(len(message.content), room * _MAX_LETTERS)
    while (price := estimate(tail := _from_border(message.content[-size:]))) > room:
        size = max(1, int(size * room / price * _MARGIN))
    return _Priced(message.replace(content=tail), _overhead(message) + price)


def _from_border(text: str) -> str:
    """`text` from the first border of the best kind in its first half."""
    for border in _BORDERS:
        if match := border.search(text, 0, len(text) // 2):
            return text[match.end() :]
    return text
