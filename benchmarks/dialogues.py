"""Labelled conversations for the extraction benchmark: their format, our own set, and LoCoMo's turns with its facts."""

import gzip
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, model_validator

from benchmarks.common import ROOT, Conversation, EvalSet
from mcp_memory.extraction.conversation import Message
from mcp_memory.text import Analyzer

OWN: Final = ROOT / "benchmarks" / "extraction_set.json"
LOCOMO: Final = ("locomo", "locomo_obs")
"""The two sets that `joined` makes one of: what was said, and the facts in it."""

PAUSE: Final = 6 * 3_600 * 1_000_000
"""Microseconds of silence after which people come back to another sitting."""

_TURN: Final = re.compile(r"\[(\d+:\d\d [ap]m on \d+ \w+, \d{4})\] ([^:]+): (.*)", re.DOTALL)
_TIME: Final = "%I:%M %p on %d %B, %Y"


class Fact(BaseModel):
    """What a conversation says of its user. `stale`: it was corrected or is to be forgotten before the end.

    A memory that says it holds one wording of each list in `any`, and none of `unless`, by which it would say that this
    is no longer so. A wording is one or several words, in any order.
    """

    model_config = ConfigDict(extra="forbid")

    text: str
    stale: bool = False
    any: list[list[str]] = []
    unless: list[str] = []

    @model_validator(mode="after")
    def _tells(self) -> Self:
        wordings = [wording for either in (*self.any, self.unless) for wording in either]
        if not all(self.any) or not all(map(Analyzer().terms, [self.text, *wordings])):
            raise ValueError(f"a list without wordings, or a wording without a letter or digit, in {self.text!r}")
        return self


class Dialogue(BaseModel):
    """One user's conversation; `messages` as `extract_memories` takes them, oldest first."""

    model_config = ConfigDict(extra="forbid")

    id: str
    messages: list[dict[str, Any]]
    facts: list[Fact] = []


class DialogueSet(BaseModel):
    name: str
    conversations: list[Dialogue]


def read_dialogues(file: Path) -> DialogueSet:
    """The labelled conversations of one file, gzipped or not."""
    content = file.read_bytes()
    return DialogueSet.model_validate_json(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)


def joined(turns: EvalSet, facts: EvalSet) -> DialogueSet:
    """LoCoMo's conversations with the facts that its authors drew from them, once for each speaker.

    The speaker is the user and the other one the assistant; only the facts about the speaker count. None is marked as
    stale.
    """
    told = {talk.id: talk for talk in facts.conversations}
    pairs = [(talk, told[talk.id]) for talk in turns.conversations if talk.id in told]
    conversations = [one for talk, observed in pairs for one in _of_speakers(talk, observed)]
    return DialogueSet(name=f"{turns.name} + {facts.name}", conversations=conversations)


def _of_speakers(talk: Conversation, observed: Conversation) -> list[Dialogue]:
    found = [turn for memory in talk.memories if (turn := _TURN.fullmatch(memory.text))]
    said = [(_moment(time), name, content) for time, name, content in (turn.groups() for turn in found)]
    return [
        Dialogue(
            id=f"{talk.id} {speaker}",
            messages=[
                {"role": "user" if name == speaker else "assistant", "name": name, "at": at, "content": content}
                for at, name, content in said
            ],
            facts=[Fact(text=one.text) for one in observed.memories if one.id.split(":")[1] == speaker],
        )
        for speaker in dict.fromkeys(name for _, name, _ in said)
    ]


def _moment(time: str) -> str:
    return datetime.strptime(time, _TIME).replace(tzinfo=UTC).isoformat()


def sittings(messages: Sequence[Message], every: int | None = None) -> list[tuple[Message, ...]]:
    """`messages` in the parts in which they are handed over: ended by a pause, or before the user's next after `every`.

    A message without a time follows the one before it at once.
    """
    parts: list[list[Message]] = []
    asked, last = 0, None
    for message in messages:
        paused = message.at is not None and last is not None and message.at - last > PAUSE
        if not parts or paused or (message.role == "user" and asked == every):
            parts.append([])
            asked = 0
        parts[-1].append(message)
        asked += message.role == "user"
        last = last if message.at is None else message.at
    return [tuple(part) for part in parts]
