"""From a conversation to changed memories: by a chat model, by one reply of the client's model, or by the caller."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Literal

from mcp_memory import prompts
from mcp_memory.clock import Clock
from mcp_memory.errors import InvalidInput, ModelError
from mcp_memory.extraction.chunks import Chunk, chunks
from mcp_memory.extraction.conversation import Message
from mcp_memory.extraction.decision import SCHEMA, decided, listed
from mcp_memory.extraction.draft import NEW, Draft, Known
from mcp_memory.llm.base import ChatMessage, ChatModel, json_in
from mcp_memory.models import LABEL, Memory, Origin
from mcp_memory.sections import ExtractionConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Applied
from mcp_memory.text.notes import block, shown, told
from mcp_memory.values import Value

Way = Literal["model", "sampling", "caller"]
Tell = Callable[[int, int], Awaitable[None]]
"""Told before each chunk: how many are done, and how many there are."""

PROMPT: Final = "extract"
WORKSHEET: Final = "worksheet"
MAX_PROBES: Final = 30
"""So many searches are made at most for a chunk, with what was said last."""
PROBE: Final = 1_000
"""Characters that are searched with at once; a longer message is searched with in parts."""
_DIGITS: Final = 10
"""No number of a memory has as many; Python reads none of thousands."""


class Extracted(Value):
    """What became of a conversation, and which way decided."""

    applied: Applied
    way: Way
    dry_run: bool = False


class Worksheet(Value):
    """What a caller needs in order to decide: the rules, and the memories that may be concerned."""

    rules: str
    neighbours: tuple[Memory, ...]


class Request(Value):
    """What a chat model is asked about one chunk, and which memories its numbers mean, from 1."""

    system: str
    user: str
    names: tuple[tuple[str, int | None], ...]


class Extractor:
    """Decides with the existing memories in view, and applies everything as one change."""

    def __init__(
        self,
        service: MemoryService,
        config: ExtractionConfig,
        model: ChatModel | None,
        clock: Clock,
        zone: tzinfo | None,
    ) -> None:
        self._service = service
        self._config = config
        self._clock = clock
        self._zone = zone
        self.model = model

    async def by_model(
        self, user: str, messages: Sequence[Message], origin: Origin, tell: Tell, *, dry_run: bool = False
    ) -> Extracted:
        """What the configured model decides, chunk by chunk; nothing is written before the last one.

        Raises:
            ModelError: there is no model, or it gave no usable reply; nothing was written.
        """
        if self.model is None:
            raise ModelError("no model is configured; set [llm] model, or decide with operations")
        parts = chunks(messages, self._config.chunk_tokens)
        draft = Draft()
        for number, chunk in enumerate(parts):
            await tell(number, len(parts))
            if any(message.role == "user" for message in chunk.messages):
                await self._decide(self.model, user, chunk, draft)
        await tell(len(parts), len(parts))
        return await self._finish(user, draft, origin, "model", dry_run=dry_run)

    async def request(self, user: str, messages: Sequence[Message]) -> Request | None:
        """What to ask a model that can be asked only once; None where the conversation is too long, or says nothing.

        The same conversation and the same memories give the same request.
        """
        parts = chunks(messages, self._config.chunk_tokens)
        if len(parts) != 1 or all(message.role != "user" for message in messages):
            return None
        return await self._request(user, parts[0], Draft())

    async def by_reply(self, user: str, request: Request, reply: str, origin: Origin, *, dry_run: bool) -> Extracted:
        """What a model decided that was asked `request` once.

        Raises:
            ModelError: the reply cannot be used; nothing was written.
        """
        draft = Draft()
        try:
            self._take(reply, request, draft)
        except ValueError as error:
            raise ModelError(f"the client's model gave no usable reply: {error}") from error
        return await self._finish(user, draft, origin, "sampling", dry_run=dry_run)

    async def by_caller(
        self, user: str, operations: Sequence[Mapping[str, Any]], origin: Origin, *, dry_run: bool = False
    ) -> Extracted:
        """What the caller decided, with ids of memories."""
        if not operations:
            raise InvalidInput("operations is empty; leave it out and give messages or text for a worksheet")
        draft = Draft()
        decisions, left = decided(operations, _named)
        draft.skipped += left
        draft.take(decisions)
        return await self._finish(user, draft, origin, "caller", dry_run=dry_run)

    async def worksheet(self, user: str, messages: Sequence[Message]) -> Worksheet:
        """What the caller needs in order to decide about `messages`."""
        rules = [prompts.load(WORKSHEET), *self._wishes()]
        return Worksheet(rules="\n\n".join(rules), neighbours=await self._neighbours(user, messages))

    async def _decide(self, model: ChatModel, user: str, chunk: Chunk, draft: Draft) -> None:
        """Ask about one chunk, and once more where the reply cannot be used."""
        request = await self._request(user, chunk, draft)
        asked = [ChatMessage("system", request.system), ChatMessage("user", request.user)]
        reply = await model.complete(asked, SCHEMA)
        try:
            self._take(reply.text, request, draft)
        except ValueError as error:
            repair = f"That could not be used: {error}. Reply again with the whole JSON object and nothing else."
            again = [*asked, ChatMessage("assistant", reply.text), ChatMessage("user", repair)]
            reply = await model.complete(again, SCHEMA)
            try:
                self._take(reply.text, request, draft)
            except ValueError as second:
                raise ModelError(
                    f"{model.name} gave no usable reply, twice: {second}; nothing was written; try another [llm] model"
                ) from second

    def _take(self, reply: str, request: Request, draft: Draft) -> None:
        """Take over the decisions in a reply.

        Raises:
            ValueError: it holds none; nothing was taken over.
        """
        numbered = dict(enumerate(request.names, 1))

        def memory_of(name: int | str) -> tuple[str, int | None] | None:
            text = str(name).strip()
            return numbered.get(int(text)) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None

        operations, left = decided(listed(json_in(reply)), memory_of)
        draft.skipped += left
        draft.take(operations)

    async def _finish(self, user: str, draft: Draft, origin: Origin, way: Way, *, dry_run: bool) -> Extracted:
        template = WORKSHEET if way == "caller" else PROMPT
        origin = origin.replace(source=prompts.source(template))
        applied = await self._service.apply(user, draft.operations(), origin, dry_run=dry_run)
        applied = applied.replace(skipped=(*draft.skipped, *applied.skipped))
        return Extracted(applied=applied, way=way, dry_run=dry_run)

    async def _request(self, user: str, chunk: Chunk, draft: Draft) -> Request:
        neighbours = await self._neighbours(user, chunk.messages)
        known = draft.known(neighbours, self._config.max_neighbours)
        now = self._clock.now()
        parts = [
            *self._wishes(),
            "\n".join([f"Known memories ({LABEL}):", *block(_listed(known))]) if known else "Known memories: none",
        ]
        if chunk.context:
            parts.append("Context, dealt with before:\n" + self._transcript(chunk.context, now))
        parts.append("Conversation:\n" + self._transcript(chunk.messages, now))
        names = tuple((one.name, one.version) for one in known)
        return Request(system=prompts.load(PROMPT), user="\n\n".join(parts), names=names)

    async def _neighbours(self, user: str, messages: Sequence[Message]) -> tuple[Memory, ...]:
        said = [
            message.content[start : start + PROBE]
            for message in messages
            if message.role == "user"
            for start in range(0, len(message.content), PROBE)
        ]
        return await self._service.related(user, said[-MAX_PROBES:], self._config.max_neighbours)

    def _wishes(self) -> list[str]:
        """What the operator wants, as paragraphs."""
        wishes = "\n".join(f"- {wish}" for wish in self._config.instructions)
        topics = ", ".join(self._config.topics)
        return [
            *([f"The operator's instructions:\n{wishes}"] if wishes else []),
            *([f"Topics to prefer: {topics}"] if topics else []),
        ]

    def _transcript(self, messages: Sequence[Message], now: int) -> str:
        """The messages, each under a line that says who spoke and when. Without a time it is today, to the day."""
        lines: list[str] = []
        for message in messages:
            when = _when(message.at, self._zone) if message.at is not None else f"{_when(now, self._zone):.10}"
            name = f" {message.name}" if message.name else ""
            # Further lines are indented, so that none poses as another speaker.
            said = message.content.replace("\n", "\n  ")
            lines.append(f"[{message.role}{name}, {when}]\n  {said}")
        return "\n".join(lines)


def _listed(known: Sequence[Known]) -> list[str]:
    keyed = ((number, one, f" (key {shown(one.key)})" if one.key else "") for number, one in enumerate(known, 1))
    return [f"{number}. {told(one.content)}{key}" for number, one, key in keyed]


def _named(name: int | str) -> tuple[str, None] | None:
    """The memory that a caller means, of no certain version; what is only planned has a name, but not for callers."""
    memory_id = str(name).strip()
    return None if memory_id.startswith(NEW) else (memory_id, None)


def _when(micros: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC).astimezone(zone)
    return f"{moment:%Y-%m-%d %H:%M %A}"
