"""Who says what in a plain text whose lines begin with their speakers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Literal, NamedTuple

from mcp_memory.text.patterns import Pattern

Speaker = Literal["user", "assistant", "system"]

_SPEAKERS: Final[Mapping[str, Speaker]] = {
    **dict.fromkeys(("user", "human", "you said"), "user"),
    **dict.fromkeys(("assistant", "ai", "bot", "chatgpt", "chatgpt said", "claude", "copilot", "gemini"), "assistant"),
    "system": "system",
    **dict.fromkeys(("nutzer", "benutzer", "utilisateur", "usuario", "usuário", "utente", "gebruiker"), "user"),
    **dict.fromkeys(("assistent", "asistente", "assistente"), "assistant"),
    **dict.fromkeys(("用户", "用戶", "ユーザー", "사용자", "пользователь", "المستخدم"), "user"),
    **dict.fromkeys(("助手", "アシスタント", "어시스턴트", "ассистент", "المساعد"), "assistant"),
}
_CERTAIN: Final = frozenset({"user", "human", "assistant"})
"""Names that make a text a conversation even if no other is in it; "System: Windows 11" is none."""

_LABEL: Final = Pattern(
    r"[ \t]{0,3}(?:#{1,6} +)?(\*\*|__)?(?P<name>[^\W\d_][^:：*_\n]{0,39})(?:\1)?(?::(?:\1)?(?=\s|$)|：(?:\1)?)[ \t]*"
)
_MAX_WORDS: Final = 3


class Turn(NamedTuple):
    """What one speaker says at a stretch; `name` where it is no role."""

    role: Speaker
    name: str | None
    content: str


def turns(text: str) -> list[Turn]:
    """The turns of `text`: one of the user's, unless its lines name their speakers.

    Roles such as `User:` or `AI:` do. Other names do where two of them, or one beside the assistant, come back:
    otherwise `Address:` would be a person. Whoever is named is a user; what stands before the first turn is the user's.
    """
    lines = text.split("\n")
    labels = _labels(lines)
    if not labels:
        return [Turn("user", None, text)]
    found: list[Turn] = []
    role: Speaker = "user"
    name: str | None = None
    said: list[str] = []
    for line in lines:
        label = _LABEL.match(line)
        if label is None or _key(label) not in labels:
            said.append(line)
            continue
        found.append(Turn(role, name, "\n".join(said)))
        key = _key(label)
        role, name = (_SPEAKERS[key], None) if key in _SPEAKERS else ("user", label["name"].strip())
        said = [line[label.end() :]]
    found.append(Turn(role, name, "\n".join(said)))
    return [turn for turn in found if turn.content.strip()]


def _labels(lines: Sequence[str]) -> AbstractSet[str]:
    """The names that begin a turn; none if the text is no conversation."""
    counts = Counter(_key(label) for line in lines if (label := _LABEL.match(line)))
    known = {key for key in counts if key in _SPEAKERS}
    roles = {_SPEAKERS[key] for key in known}
    names = {key for key, count in counts.items() if count > 1 and key not in _SPEAKERS and _is_name(key)}
    labels = known if "user" in roles else known | names
    if {"user", "assistant"} <= roles:
        return labels
    first = _LABEL.match(next(filter(str.strip, lines), ""))
    begins = first is not None and _key(first) in labels
    return labels if begins and (labels & _CERTAIN or len(labels) > 1) else frozenset()


def _key(label: re.Match[str]) -> str:
    return " ".join(label["name"].casefold().split())


def _is_name(key: str) -> bool:
    return len(key.split()) <= _MAX_WORDS
