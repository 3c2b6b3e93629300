"""A long conversation in chunks that a model can read one by one."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from mcp_memory.extraction.conversation import Message
from mcp_memory.models import Value
from mcp_memory.text.tokens import estimate

MIN_TOKENS: Final = 600
"""With fewer, a name of 100 signs that nobody tokenizes well would leave no room for what it says."""
HEADER: Final = 20
"""Tokens allowed for what a prompt says of a message besides its content: number, role, time."""

_CONTEXT_SHARE: Final = 4
"""At most one part in so many of a chunk is context."""
_MAX_LETTERS: Final = 6
"""A text with more characters a token is not looked at before it is halved; hardly any has as many."""
_BORDERS: Final = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]"),
    re.compile(r"\s"),
)
"""After what a message is split, best first: a paragraph, a line, a sentence, a word."""


class Chunk(Value):
    """A stretch of a conversation. `context` was in the chunk before, and is there to be understood only.

    `tokens` is what `cost` says of all its messages together.
    """

    context: tuple[Message, ...]
    messages: tuple[Message, ...]
    tokens: int


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
    context: tuple[Message, ...] = ()
    held: list[Message] = []
    room = tokens
    for part in (part for message in messages for part in _parts(message, tokens - share)):
        price = cost(part)
        if held and price > room:
            found.append(Chunk(context=context, messages=tuple(held), tokens=tokens - room))
            context = _ends(held[-overlap:], share) if share else ()
            room = tokens - sum(map(cost, context))
            held = []
        held.append(part)
        room -= price
    if held:
        found.append(Chunk(context=context, messages=tuple(held), tokens=tokens - room))
    return found


def cost(message: Message) -> int:
    """The estimated tokens of a message in a prompt, with what is said of it there."""
    return _overhead(message) + estimate(message.content)


def _overhead(message: Message) -> int:
    return HEADER + (estimate(message.name) if message.name else 0)


def _parts(message: Message, tokens: int) -> Iterator[Message]:
    """`message` itself if it takes at most so many tokens, else in parts."""
    contents = list(_split(message.content, tokens - _overhead(message)))
    if len(contents) == 1:
        yield message
    else:
        yield from (message.model_copy(update={"content": content}) for content in contents)


def _split(text: str, tokens: int) -> Iterator[str]:
    """Parts of `text` of at most so many tokens, in order, by halving it again and again near its middle."""
    waiting = [text]
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or (len(part) <= tokens * _MAX_LETTERS and estimate(part) <= tokens):
            yield part
        else:
            middle = _border(part)
            waiting += [part[middle:], part[:middle]]


def _border(text: str) -> int:
    """Where `text` is best cut in two: after the best border in its middle half, the one nearest to the middle."""
    low, middle, high = len(text) // 4, len(text) // 2, len(text) * 3 // 4
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(text, low, high)]
        if ends:
            return min(ends, key=lambda end: abs(end - middle))
    return middle


def _ends(messages: Sequence[Message], tokens: int) -> tuple[Message, ...]:
    """The last of `messages` within so many tokens; the first of those may be the end of one only."""
    kept: list[Message] = []
    for message in reversed(messages):
        price = cost(message)
        if price > tokens:
            if tokens - _overhead(message) >= HEADER:
                kept.append(list(_parts(message, tokens))[-1])
            break
        kept.append(message)
        tokens -= price
    return tuple(reversed(kept))
