"""The contract of a chat model, and how the JSON in its reply is found."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Protocol

from mcp_memory.text.patterns import Pattern

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class ChatMessage:
    """One message to a chat model."""

    role: Role
    content: str


@dataclass(frozen=True)
class Completion:
    """A whole reply, its text as the model wrote it; tokens are those of the last request, None where none are told."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class ChatModel(Protocol):
    """Answers messages with text that should hold one JSON value."""

    name: str
    """The model as it is configured."""

    async def complete(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any]) -> Completion:
        """The reply to `messages`. Nothing promises that it keeps to `schema`: see `json_in`, and check the value.

        `schema` is a JSON schema that a strict endpoint takes: an object whose objects all have
        "additionalProperties": false and require each of their properties. The messages say in words what is wanted,
        because some endpoints ignore the schema.

        Raises:
            ModelError: no whole reply came in time; the message is one line that names the setting to change.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


_THOUGHT: Final = Pattern(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]|<\|message\|>")
"""What ends a model's reasoning, if it is told at all: DeepSeek, Qwen and others, Mistral, gpt-oss."""
_THINKING: Final = Pattern(r"\s*(?:<(?:think|thinking|thought|reasoning)>|\[THINK\])")
_START: Final = Pattern(
    r"""(?P<fence> ```(?:json\w{0,5})?\s*+ ) [{\[]  |  \{\s*+ (?: ["'}] | \w{1,40}\s*+: )  |  \[\s*+ [{\]]""",
    re.VERBOSE | re.IGNORECASE,
)
"""How an object, or an array of objects, begins; so that brackets in prose are not taken for one."""


@dataclass(frozen=True)
class _Found:
    value: object
    end: int
    fenced: bool


def json_in(text: str) -> object:
    """The JSON value in a model's reply: bare, in a fenced block, in prose, or after reasoning.

    A fenced value counts before others, an object before arrays. The messages of the errors suit the model that is
    asked to repair its reply; they quote nothing of it.

    Raises:
        ValueError: there is no value, or it is cut off or malformed, or there are several and none stands out.
    """
    try:
        return _the_one(text)
    except RecursionError:
        raise ValueError("the JSON in the reply nests too deeply") from None


def _the_one(text: str) -> object:
    try:
        return _DECODER.decode(text.removeprefix("\ufeff").strip())
    except ValueError:
        pass  # then it is not all there is
    ends = [match.end() for match in _THOUGHT.finditer(text)]
    if not ends and _THINKING.match(text):
        raise ValueError("the reply ends within its reasoning")
    answer = text[ends[-1] :] if ends else text
    # A value that reaches beyond the last mark holds it in one of its strings.
    found = list(_values(answer)) or [one for one in _values(text) if ends and one.end > ends[-1]]
    if not found:
        raise ValueError("the reply holds no JSON object")
    values = [one.value for one in found if one.fenced] or [one.value for one in found]
    distinct = _distinct([value for value in values if isinstance(value, dict)] or values)
    if len(distinct) > 1:
        raise ValueError(f"the reply holds {len(distinct)} JSON values; one is wanted")
    return distinct[0]


def _values(text: str) -> Iterator[_Found]:
    """The outermost objects and arrays in `text`.

    Raises:
        ValueError: one is cut off or malformed: what stands inside it must not be taken for the whole.
    """
    last, place = len(text.rstrip()), 0
    while start := _START.search(text, place):
        fence = start["fence"] or ""
        begin = start.start() + len(fence)
        try:
            value, place = _DECODER.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            cut_off = error.pos >= last or error.msg.startswith("Unterminated")
            told = "it is cut off" if cut_off else f"{error.msg} at character {error.pos - begin}"
            raise ValueError(f"the JSON in the reply cannot be read: {told}") from None
        yield _Found(value, place, bool(fence))


def _distinct(values: list[object]) -> list[object]:
    """Each value once, True and 1 apart."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number, strict=False)
"""Models write line breaks inside strings as they are; that much is forgiven."""
