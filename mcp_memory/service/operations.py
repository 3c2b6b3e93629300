"""Decided operations become one change: what can be done is done together, what cannot is skipped and says why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Final, assert_never

from mcp_memory import guard
from mcp_memory.errors import Conflict, InvalidInput, NotFound, VersionConflict
from mcp_memory.guard import Fields, Given, SecretAction
from mcp_memory.models import (
    AddOperation,
    DeleteOperation,
    Memory,
    NoOperation,
    Operation,
    Origin,
    Step,
    UpdateOperation,
    Vector,
    fingerprint,
)
from mcp_memory.service.damage import all_offered
from mcp_memory.service.outcomes import Done, Skipped
from mcp_memory.service.pending import COUNTS, Beginning
from mcp_memory.service.writing import Writing, altered, history_of, lives, removal, split_twins
from mcp_memory.store.transaction import Transaction
from mcp_memory.values import Value

_ORDER: Final = {"delete": 0, "update": 1, "add": 2}
"""Deletions first: what they free, text or key, another operation may take."""


class Ready(Value):
    """An operation whose fields have been read; `vector` is that of its content."""

    operation: AddOperation | UpdateOperation | DeleteOperation
    given: Given
    vector: Vector | None = None
    redacted: tuple[str, ...] = ()


class Plan:
    """What is to be written, and what not. `expired` stand in the way without counting: out of date, or waiting."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done: list[Done] = []
        self.skipped: list[Skipped] = []
        self.expired: dict[int, Memory] = {}


def read(
    operations: Sequence[Operation], now: int, zone: tzinfo | None, secrets: SecretAction
) -> tuple[list[Ready], list[Skipped]]:
    """The operations that can be tried, fields cleaned and within the limits; the others are skipped."""
    ready: list[Ready] = []
    left: list[Skipped] = []
    meant = Counter(one.id.strip() for one in operations if isinstance(one, UpdateOperation | DeleteOperation))
    for one in operations:
        if isinstance(one, NoOperation):
            left.append(skipped(one, guard.told(one.reason or "") or "nothing to do"))
        elif not isinstance(one, AddOperation) and meant[one.id.strip()] > 1:
            left.append(skipped(one, "two operations on one memory; decide for one"))
        else:
            try:
                ready.append(_ready(one, now, zone, secrets))
            except InvalidInput as error:
                left.append(skipped(one, str(error)))
    return ready, left


def summary(plan: Plan) -> str:
    """What a change says of itself, without content."""
    counts = Counter(one.operation for one in plan.done)
    words = (("add", "added"), ("update", "updated"), ("delete", "deleted"))
    return ", ".join(f"{word} {counts[deed]}" for deed, word in words if counts[deed])


def as_stored(done: Done, stored: Memory) -> Done:
    """`done` with its memory as the store has it now; what was deleted stays as it was."""
    return done if done.operation == "delete" else done.replace(memory=stored)


def skipped(operation: Operation, why: str) -> Skipped:
    """That `operation` is not carried out."""
    named = None if isinstance(operation, AddOperation) else operation.id
    said = operation.content if isinstance(operation, AddOperation | UpdateOperation) else None
    return Skipped(operation=operation.op, why=why, id=guard.told(named or ""), content=guard.told(said or ""))


class Planner:
    """Turns operations into steps inside a transaction, from which it only reads.

    `read` are living memories as this transaction has read them already; new ones begin as `begins` says.
    """

    def __init__(
        self,
        turn: Transaction,
        writing: Writing,
        origin: Origin,
        now: int,
        read: Sequence[Memory] = (),
        *,
        begins: Beginning = COUNTS,
    ) -> None:
        self._turn = turn
        self._read = {memory.id: memory for memory in read}
        self._writing = writing
        self._origin = origin
        self._now = now
        self._begins = begins
        self._touched: set[int] = set()
        self._freed: set[int] = set()
        self._texts: set[bytes] = set()
        self._keys: set[str] = set()
        self._plan = Plan()

    async def plan(self, ready: Iterable[Ready]) -> Plan:
        """What all of them come to."""
        for one in sorted(ready, key=lambda one: _ORDER[one.operation.op]):
            try:
                await self._take(one)
            except (Conflict, NotFound) as error:
                self._plan.skipped.append(skipped(one.operation, str(error)))
        return self._plan

    async def _take(self, one: Ready) -> None:
        match one.operation:
            case AddOperation():
                await self._add(one)
            case UpdateOperation():
                memory = await self._meant(one.operation)
                await self._refuse_taken(one.given, memory)
                self._alter(memory, one)
            case DeleteOperation():
                memory = await self._meant(one.operation)
                self._freed.add(memory.row)
                self._write(removal("delete", memory, self._now), one, memory, memory)
            case _ as never:
                assert_never(never)

    async def _meant(self, operation: UpdateOperation | DeleteOperation) -> Memory:
        known = self._read.get(operation.id)
        memory = known or (await self._writing.own(self._turn, [operation.id], self._now))[0]
        if operation.if_version is not None and operation.if_version != memory.version:
            raise VersionConflict(f"it is at version {memory.version} by now, not {operation.if_version}", (memory.id,))
        return memory

    async def _add(self, one: Ready) -> None:
        begins, said = self._begins, one.given.get("content", "")
        if begins.waits and (other := await self._writing.waiting(self._turn, said, self._now, begins.gone)):
            raise Conflict(f"waits for approval already, as memory {other.id}", (other.id,))
        same_text, same_key = await self._in_the_way(one.given, None)
        if same_text is not None:
            raise Conflict(f"known already as memory {same_text.id}", (same_text.id,))
        if same_key is not None and not begins.waits:
            self._alter(same_key, one)
            return
        memory = self._writing.new(one.given, self._origin, self._now, begins.state)
        self._write(Step(operation="add", memory=memory, vector=one.vector), one, memory, None)

    async def _refuse_taken(self, given: Given, own: Memory) -> None:
        for other in await self._in_the_way(given, own):
            if other is not None:
                raise Conflict(f"memory {other.id} has this text or key already", (other.id,))

    def _alter(self, memory: Memory, one: Ready) -> None:
        if memory.row in self._touched:
            raise Conflict(f"another operation changes memory {memory.id}", (memory.id,))
        alteration = altered(memory, one.given, one.vector, self._now)
        if alteration is None:
            raise Conflict(f"memory {memory.id} says so already", (memory.id,))
        self._write(alteration.step, one, alteration.step.memory, memory)

    async def _in_the_way(self, given: Given, own: Memory | None) -> tuple[Memory | None, Memory | None]:
        """Other living memories with this text and with this key."""
        mark = fingerprint(given["content"]) if "content" in given else None
        key = given.get("key")
        if mark in self._texts or key in self._keys:
            raise Conflict("another operation has this text or key")
        found = await self._turn.twins(mark, key) if mark or key else []
        twins = await all_offered(found, history_of(self._turn))
        self._plan.expired |= {twin.row: twin for twin in twins if not lives(twin, self._now)}
        gone = {*self._freed, *self._plan.expired, *([own.row] if own else [])}
        return split_twins([twin for twin in twins if twin.row not in gone], mark, key)

    def _write(self, step: Step, one: Ready, shown: Memory, former: Memory | None) -> None:
        why = guard.told(one.operation.reason or "")
        if "content" in one.given:
            self._texts.add(fingerprint(one.given["content"]))
        if key := one.given.get("key"):
            self._keys.add(key)
        self._touched.add(step.memory.row)
        decided = step.memory.replace(source=self._origin.source or step.memory.source)
        self._plan.steps.append(step.replace(reason=why, memory=decided))
        deed = "update" if step.operation == "update" else one.operation.op  # an add with a key may come to that
        done = Done(operation=deed, memory=shown, reason=why, former=former, redacted=one.redacted)
        self._plan.done.append(done)


def _ready(
    operation: AddOperation | UpdateOperation | DeleteOperation, now: int, zone: tzinfo | None, secrets: SecretAction
) -> Ready:
    """The operation with its fields as they would be stored.

    Raises:
        InvalidInput: one of them cannot be, or holds a secret.
    """
    screened = guard.screen(_fields(operation), secrets)
    given = guard.check(screened.fields, now, zone)
    return Ready(operation=operation, given=given, redacted=screened.redacted)


def _fields(operation: AddOperation | UpdateOperation | DeleteOperation) -> Fields:
    if isinstance(operation, DeleteOperation):
        return Fields()
    return Fields(content=operation.content, topics=operation.topics, key=operation.key, expires=operation.expires)
