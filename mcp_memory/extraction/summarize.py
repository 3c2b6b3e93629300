"""Related memories become one: worded by a chat model, checked here, or left to the caller with a worksheet.

A model may word, it may not forget: what a result does not say of the memories it names is no reason to delete them.
"""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from mcp_memory import guard, prompts
from mcp_memory.errors import InvalidInput, ModelError
from mcp_memory.extraction.decision import listed
from mcp_memory.llm.base import ChatMessage, ChatModel, json_in
from mcp_memory.models import LABEL, LeftOut, Memory, Origin
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Lookalike, Merging, Optimized, Skipped
from mcp_memory.text.credentials import credential
from mcp_memory.text.notes import block, told
from mcp_memory.text.patterns import Pattern
from mcp_memory.text.tokens import estimate
from mcp_memory.text.wording import CALENDAR, FACTS, NEGATIONS, Wording, alike, kind_of
from mcp_memory.values import Misfit, Value

Tell = Callable[[int, int], Awaitable[None]]
"""Told before each group: how many are done, and how many there are."""

PROMPT: Final = "summarize"
REPLY: Final = "summarize-reply"
WORKSHEET: Final = "summarize-worksheet"
MOST_GROUPS: Final = 20
"""So many groups are asked about in one call."""
MOST_MEMBERS: Final = 12
MOST_ON_SHEET: Final = 24
"""So many memories stand on a worksheet: each may need an operation, and the caller has 25."""
MOST_RESULTS: Final = 12
LEAST_KEPT: Final = 0.5
"""The least share of a memory's words that must stand in what replaces it."""
REMEMBERED: Final = 64
"""Replies that are kept, so that what was shown is what is applied."""

_CONTRADICTING: Final = FACTS - {"fields"}
_WORD: Final = Pattern(r"[^\W_]+")

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "ids": {"type": "array", "items": {"type": "integer"}},
                    "content": {"type": "string"},
                },
                "required": ["ids", "content"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["results"],
    "additionalProperties": False,
}


class Sheet(Value):
    """What a caller needs in order to decide: the rules, and groups of related memories."""

    rules: str
    groups: tuple[tuple[Memory, ...], ...]
    conflicts: tuple[Lookalike, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int


class Summarizer:
    """Has related memories of a user merged."""

    def __init__(self, service: MemoryService, model: ChatModel | None) -> None:
        self._service = service
        self._optimizer = service.optimizer
        self._replies: OrderedDict[str, str] = OrderedDict()
        self.model = model

    async def by_model(self, user: str, origin: Origin, tell: Tell, *, dry_run: bool = False) -> Optimized:
        """What the configured model makes of groups of related memories; nothing is written before the last one.

        A dry run and what is applied right after it rest on the same replies.

        Raises:
            ModelError: there is no model, or none answers; nothing was written.
        """
        if self.model is None:
            raise ModelError("no model is configured; set [llm] model, or have a caller decide with the worksheet")
        found = await self._optimizer.related(user, MOST_MEMBERS, MOST_GROUPS)
        decided = _Decided()
        for number, group in enumerate(found.groups):
            await tell(number, len(found.groups))
            await self._decide(self.model, group, decided)
        await tell(len(found.groups), len(found.groups))
        origin = origin.replace(source=prompts.source(PROMPT))
        return await self._optimizer.merge(user, decided.merges, found, decided.skipped, origin, dry_run=dry_run)

    async def worksheet(self, user: str) -> Sheet:
        """What the caller needs in order to decide."""
        found = await self._optimizer.related(user, MOST_MEMBERS, MOST_GROUPS, MOST_ON_SHEET)
        left_out = found.left_out
        if found.left:
            left_out += (LeftOut(count=found.left, reason="groups: call again when these are done"),)
        return Sheet(
            rules=f"{prompts.load(PROMPT)}\n\n{prompts.load(WORKSHEET)}",
            groups=found.groups,
            conflicts=found.conflicts,
            left_out=left_out,
            tokens=found.tokens,
        )

    async def _decide(self, model: ChatModel, group: Sequence[Memory], decided: "_Decided") -> None:
        """Ask about one group, and once more where the reply cannot be used; then the group stays as it is."""
        asked = [
            ChatMessage("system", f"{prompts.load(PROMPT)}\n\n{prompts.load(REPLY)}"),
            ChatMessage("user", _listed(group)),
        ]
        try:
            results = await self._results(model, asked)
        except ValueError as error:
            why = f"{model.name} gave no usable reply, twice: {error}"
            decided.skipped.append(Skipped(operation="merge", why=why, content=f"a group of {len(group)}"))
            return
        cited = Counter(number for one in results if isinstance(one, _Result) for number in set(one.ids))
        for one in results:
            try:
                decided.merges.append(self._checked(one, group, cited))
            except InvalidInput as error:
                content = guard.told(one.content) if isinstance(one, _Result) else None
                decided.skipped.append(Skipped(operation="merge", why=str(error), content=content))

    async def _results(self, model: ChatModel, asked: list[ChatMessage]) -> "list[_Result | None]":
        """What the model answers; None for what cannot be read.

        Raises:
            ValueError: the second reply cannot be used either.
        """
        key = asked[-1].content
        if key in self._replies:
            return _results_in(self._replies[key])
        reply = (await model.complete(asked, SCHEMA)).text
        try:
            results = _results_in(reply)
        except ValueError as error:
            repair = f"That could not be used: {error}. Reply again with the whole JSON object and nothing else."
            again = [*asked, ChatMessage("assistant", reply), ChatMessage("user", repair)]
            reply = (await model.complete(again, SCHEMA)).text
            results = _results_in(reply)
        self._replies[key] = reply
        while len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        return results

    def _checked(self, one: "_Result | None", group: Sequence[Memory], cited: Mapping[int, int]) -> Merging:
        """The merge that a result means.

        Raises:
            InvalidInput: it must not be done; the message says why.
        """
        if one is None:
            raise InvalidInput("a result cannot be read; it needs ids and content")
        numbers = list(dict.fromkeys(one.ids))
        foreign = [number for number in numbers if not 1 <= number <= len(group)]
        if foreign:
            raise InvalidInput(f"it names {str(foreign[0])[:10]}, which is not in its group")
        if len(numbers) < 2:
            raise InvalidInput("it names fewer than two memories, so there is nothing to merge")
        if any(cited[number] > 1 for number in numbers):
            raise InvalidInput("another result names one of its memories too; neither counts")
        sources = [group[number - 1] for number in numbers]
        content = guard.content(one.content)
        if self._service.secrets != "allow" and (kind := credential(content)):
            raise InvalidInput(guard.secret_in("content", kind))
        if len({topic for memory in sources for topic in memory.topics}) > guard.MAX_TOPICS:
            raise InvalidInput(f"its memories have more than {guard.MAX_TOPICS} topics together")
        self._refuse_loss(content, sources)
        kept, *others = sorted(sources, key=lambda memory: (memory.worded_at, memory.row), reverse=True)
        return Merging(kept=kept, others=tuple(others), content=content, why=f"merged into {kept.id}")

    def _refuse_loss(self, content: str, sources: Sequence[Memory]) -> None:
        """Raise InvalidInput where `content` says less than `sources`, or more, or they contradict each other."""
        reader = self._optimizer.reader
        wordings = {memory.id: reader.read(memory.content) for memory in sources}
        names = frozenset[str]().union(*(wording.names for wording in wordings.values()))
        for one, other in combinations(wordings, 2):
            if differing := alike(wordings[one], wordings[other], names) & _CONTRADICTING:
                raise InvalidInput(f"{one} and {other} look alike, but differ in a {min(differing)}")
        result = reader.read(content)
        said = {*result.said, *_plain(content)}
        if missing := [token for token in _facts(wordings.values(), names) if token not in said]:
            raise InvalidInput(f"it leaves out {guard.shown(missing[0])}")
        known = {"user", *(token for memory in sources for token in _plain(memory.content))}
        known.update(token for wording in wordings.values() for token in wording.said)
        if added := [token for token in _facts([result], result.names) if token not in known]:
            raise InvalidInput(f"it adds {guard.shown(added[0])}")
        if NEGATIONS.isdisjoint(result.said) != NEGATIONS.isdisjoint(known):
            raise InvalidInput("a negation was lost or added")
        terms = set(self._optimizer.analyzer.terms(content))
        for memory in sources:
            wanted = self._optimizer.analyzer.query_terms(memory.content)
            if len(wanted.keys() & terms) < LEAST_KEPT * len(wanted):
                raise InvalidInput(f"it leaves out what {memory.id} says")
        if estimate(content) >= sum(estimate(memory.content) for memory in sources):
            raise InvalidInput("it is not shorter than what it replaces")


class _Result(Value, forbid_unknown_fields=False):
    """One result of a model; unknown fields are no harm."""

    ids: list[int]
    content: str


@dataclass
class _Decided:
    """What has been decided so far."""

    merges: list[Merging] = field(default_factory=list[Merging])
    skipped: list[Skipped] = field(default_factory=list[Skipped])


def _results_in(reply: str) -> list[_Result | None]:
    """The results in a reply, None for each that cannot be read.

    Raises:
        ValueError: it holds no list of them.
    """
    return [_result(one) for one in listed(json_in(reply), "results")[:MOST_RESULTS]]


def _result(one: object) -> _Result | None:
    try:
        return _Result.checked(one)
    except Misfit:
        return None


def _listed(group: Sequence[Memory]) -> str:
    """The memories by number."""
    numbered = (f"{number}. {told(one.content)}" for number, one in enumerate(group, 1))
    return "\n".join([f"Memories ({LABEL}):", *block(numbered)])


def _plain(text: str) -> list[str]:
    """The words of `text` as they are written, in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


def _facts(wordings: Iterable[Wording], names: frozenset[str]) -> list[str]:
    """The names, numbers and dates in them."""
    return [
        token
        for wording in wordings
        for token in wording.said
        if (kind := kind_of(token, names)) in {"number", "name"} or (kind == "date" and _dated(token))
    ]


def _dated(token: str) -> bool:
    return token in CALENDAR or token[0].isdigit()
