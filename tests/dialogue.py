"""The dialogue of the first use, and one who decides about it: a stand-in for a model, whoever asks it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mcp_memory.testing import Chat, Computed, Received

SAID: Final = (
    "I love Italian food and I'm learning Spanish. I live in Lyon.",
    "My daughter's name is Emma.",
    "I moved from Lyon to Berlin.",
    "Please forget that I like Italian food.",
)
FOOD: Final = "The user loves Italian food."
SPANISH: Final = "The user is learning Spanish."
LYON: Final = "The user lives in Lyon."
EMMA: Final = "The user's daughter is called Emma."
BERLIN: Final = "The user lives in Berlin."
KNOWN: Final = (
    {FOOD, SPANISH, LYON},
    {FOOD, SPANISH, LYON, EMMA},
    {FOOD, SPANISH, BERLIN, EMMA},
    {SPANISH, BERLIN, EMMA},
)
"""What is remembered after each of SAID."""

_DECISIONS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    SAID[0]: [{"op": "add", "content": content} for content in (FOOD, SPANISH, LYON)],
    SAID[1]: [{"op": "add", "content": EMMA, "topics": ["family"]}],
    SAID[2]: [{"op": "update", "id": LYON, "content": BERLIN, "reason": "moved"}],
    SAID[3]: [{"op": "delete", "id": FOOD, "reason": "asked to forget it"}],
}
"""Ids stand for what the known memory says."""


class Asked(NamedTuple):
    """What a prompt holds: the known memories by number, and the conversation below them."""

    known: dict[int, str]
    conversation: str


def asked(prompt: str) -> Asked:
    """The parts of a prompt."""
    notes, _, conversation = prompt.partition("\n\nConversation:\n")
    known = {int(number): content for number, content in re.findall(r"^(\d+)\. (.*)$", notes, re.MULTILINE)}
    return Asked(known, conversation)


def decide(conversation: str, known: Mapping[Any, str]) -> list[dict[str, Any]]:
    """The operations that belong to what was said last; `known` are the memories in view by id."""
    [said] = [said for said in SAID if said in conversation]
    ids = {content: one for one, content in known.items()}
    return [{**one, **({"id": ids[one["id"]]} if "id" in one else {})} for one in _DECISIONS[said]]


def answer(prompt: str) -> str:
    """What a model replies to a prompt."""
    return json.dumps({"operations": decide(asked(prompt).conversation, asked(prompt).known)})


def prompt_of(request: Received) -> str:
    """What the user's message of a chat request says."""
    return request.body["messages"][1]["content"]


MODEL: Final = Computed(lambda request: Chat(answer(prompt_of(request))))
"""The reply of a scripted endpoint to whatever of the dialogue it is asked about."""
