"""What the soak test asks of the processes, and the report of what they answered."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from benchmarks.soak_model import USERS, Findings, Known, Model, Outcome, Write, mark_of, marks_of_others
from benchmarks.soak_process import Gone, Process

FULL: Final = 60
"""So many memories of a user are enough: a list shows all of them."""

SUBJECTS: Final = ("a cello", "the harbour", "green tea", "Mrs Petrova", "chess on Mondays", "an old canoe", "bees")
DEEDS: Final = ("likes", "repaired", "talks about", "dreams of", "sold", "looks for")
STORE_SAYS: Final = "nothing was written"
EXPECTED: Final = (
    *("No memory", "at version", "has this text or key", "is memory", "was deleted"),
    *("cannot be undone", "undone already", "to undo", "No change", "clean-up of expired"),
)
"""Parts of the refusals that calls at random meet."""


@dataclass
class Report:
    """What was done, and what came of it. `waits` are seconds between the call of a write and its reply."""

    seed: int
    processes: int
    seconds: float = 0
    operations: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    left_open: int = 0
    kills: int = 0
    stops: int = 0
    full: int = 0
    jumps: int = 0
    files: int = 0
    checks: int = 0
    sound: int = 0
    largest_wal: int = 0
    waits: list[float] = field(default_factory=list[float])
    findings: Findings = field(default_factory=Findings)

    @property
    def failed(self) -> bool:
        wrong = self.findings
        return bool(wrong.lost or wrong.leaked or wrong.unclear or self.sound < self.checks)

    def wait(self, percent: int) -> float:
        """Seconds within which so many of 100 writes had their reply."""
        waits = sorted(self.waits) or [0.0]
        return waits[len(waits) * percent // 100]

    def figures(self) -> dict[str, Any]:
        """Everything that JSON can tell."""
        waits = {"p50": self.wait(50), "p99": self.wait(99)}
        return vars(self) | {"waits": waits, "findings": vars(self.findings)}

    def lines(self) -> list[str]:
        reads = sum(self.operations[tool] for tool in ("search_memories", "list_memories", "get_memory"))
        total = self.operations.total()
        rate = total / max(self.seconds, 1)
        return [
            f"seed                     {self.seed}, {self.processes} processes, {self.files} files",
            f"seconds                  {self.seconds:.0f}",
            f"operations acknowledged  {total:,} ({total - reads:,} writes, {reads:,} reads; {rate:.0f}/s)",
            f"refused                  {dict(self.refused)}",
            f"left open by a kill      {self.left_open:,}",
            f"kills                    {self.kills}",
            f"stops                    {self.stops}",
            f"disk-full episodes       {self.full}",
            f"clock jumps              {self.jumps}",
            f"lost                     {len(self.findings.lost)}",
            f"leaked                   {len(self.findings.leaked)}",
            f"unclear errors           {len(self.findings.unclear)}",
            f"integrity ok             {self.sound} of {self.checks}",
            f"write waits              p50 {self.wait(50) * 1000:.0f} ms, p99 {self.wait(99) * 1000:.0f} ms",
            f"largest WAL              {self.largest_wal / 2**20:.1f} MB",
        ]


class Caller:
    """Asks one process after another life of it, and tells the model."""

    def __init__(self, model: Model, report: Report, chance: random.Random, number: Callable[[], int]) -> None:
        self._model = model
        self._report = report
        self._chance = chance
        self._number = number

    async def step(self, process: Process) -> None:
        user = self._chance.choice(USERS)
        living = self._model.living(user)
        doing: tuple[Any, ...] = (self._add, self._update, self._delete, self._undo, self._extract)
        reading: tuple[Any, ...] = (self._get, self._list, self._search, self._intrude)
        many = len(living) > FULL
        weights = (0 if many else 16, 14, 20 if many else 5, 6, 0 if many else 3, 46, 4, 12, 2)
        await self._chance.choices((*doing, *reading), weights)[0](process, user, living)

    async def _add(self, process: Process, user: str, living: list[Known]) -> None:
        if living and self._chance.random() < 0.05:
            again = self._chance.choice(living)
            self._model.again.add(again.content)
            given = {"content": again.content, "topics": [self._chance.choice(("music", "home"))]}
            return await self._write(process, user, "add_memory", given, touched=(again.id,))
        given: dict[str, Any] = {"content": (text := self._text(user))}
        touched: tuple[str, ...] = ()
        match self._chance.random():
            case low if low < 0.1:
                given["key"] = self._chance.choice(("home_city", "employer", "birthday"))
                touched = tuple(one.id for one in living if one.key)
            case low if low < 0.2:
                given["expires"] = "1h"
            case low if low < 0.4:
                given |= {"metadata": {"number": self._number()}, "pinned": True}
            case _:
                pass
        return await self._write(process, user, "add_memory", given, (text,), touched)

    async def _update(self, process: Process, user: str, living: list[Known]) -> None:
        if not living:
            return
        one = self._chance.choice(living)
        given: dict[str, Any] = {"id": one.id}
        texts: tuple[str, ...] = ()
        if self._chance.random() < 0.8:
            given["content"] = text = self._text(user)
            texts = (text,)
        else:
            given["topics"] = self._chance.sample(("music", "home", "work", "travel"), 2)
        if self._chance.random() < 0.5:
            given["if_version"] = one.version
        await self._write(process, user, "update_memory", given, texts, (one.id,))

    async def _delete(self, process: Process, user: str, living: list[Known]) -> None:
        if not living:
            return
        ids = [one.id for one in self._chance.sample(living, min(len(living), self._chance.choice((1, 1, 3))))]
        await self._write(process, user, "delete_memory", {"id": ids}, touched=tuple(ids))

    async def _undo(self, process: Process, user: str, living: list[Known]) -> None:
        changes = self._model.by_user[user]
        if not changes or self._chance.random() < 0.1:  # the user's latest, whatever it was about
            everything = tuple(one.id for one in self._model.memories.values() if one.user == user)
            return await self._write(process, user, "undo", {}, touched=everything)
        change_id = self._chance.choice(changes[-12:])
        touched = tuple(self._model.changes[change_id])
        return await self._write(process, user, "undo", {"change_id": change_id}, touched=touched)

    async def _extract(self, process: Process, user: str, living: list[Known]) -> None:
        texts = tuple(self._text(user) for _ in range(self._chance.randint(2, 4)))
        operations: list[dict[str, Any]] = [{"op": "add", "content": text} for text in texts]
        touched: tuple[str, ...] = ()
        if living:
            one = self._chance.choice(living)
            operations.append({"op": "delete", "id": one.id})
            touched = (one.id,)
        await self._write(process, user, "extract_memories", {"operations": operations}, texts, touched)

    async def _get(self, process: Process, user: str, living: list[Known]) -> None:
        own = [one for one in self._model.memories.values() if one.user == user]
        own = own[-200:] if not living or self._chance.random() < 0.15 else living
        if not own:
            return
        known = self._chance.choice(own)
        turns, certain = known.turns, known.certain
        reply, error = await self._read(process, user, "get_memory", {"id": known.id})
        if reply is None and STORE_SAYS in error:
            return
        shown = reply["memory"] if reply else None
        if certain and known.certain and known.turns == turns:
            self._model.held_against(known, shown, "get_memory")
        elif known.left_open and not known.expires:
            self._model.adopt(known, turns, shown)

    async def _list(self, process: Process, user: str, _: list[Known]) -> None:
        before = self._model.certain(user)
        reply, _error = await self._read(process, user, "list_memories", {"limit": 100})
        if reply is not None:
            self._model.held_against_list(before, reply)

    async def _search(self, process: Process, user: str, _: list[Known]) -> None:
        certain = list(self._model.certain(user).values())
        if not certain:
            return
        turns, known = self._chance.choice(certain[-200:])
        reply, _error = await self._read(process, user, "search_memories", {"query": known.content, "limit": 10})
        if reply is not None:
            self._model.held_against_search(known, turns, reply)

    async def _intrude(self, process: Process, user: str, living: list[Known]) -> None:
        """Another user's id is not found, by whatever tool."""
        other = self._chance.choice([one for one in USERS if one != user])
        if not living:
            return
        known = self._chance.choice(living)
        tool = self._chance.choice(("get_memory", "delete_memory"))
        reply, _error = await process.call(tool, {"user_id": other, "id": known.id})
        if reply is not None:
            self._report.findings.leaked.append(f"{tool} of {known} by {other}: {reply}")

    async def _read(self, process: Process, user: str, tool: str, given: dict[str, Any]) -> tuple[Any, str]:
        reply, error = await process.call(tool, {"user_id": user, **given})
        self._answered(user, tool, reply, error)
        return reply, error

    async def _write(
        self,
        process: Process,
        user: str,
        tool: str,
        given: dict[str, Any],
        texts: tuple[str, ...] = (),
        touched: tuple[str, ...] = (),
    ) -> None:
        write = Write(user, tool, given, process.name, texts, touched)
        self._model.begin(write)
        begun = perf_counter()
        try:
            reply, error = await process.call(tool, {"user_id": user, **given})
        except Gone:
            self._model.end(write, Outcome.OPEN)
            self._report.left_open += 1
            raise
        self._report.waits.append(perf_counter() - begun)
        self._answered(user, tool, reply, error)
        self._model.end(write, Outcome.REFUSED if reply is None else Outcome.ACKNOWLEDGED, reply)

    def _answered(self, user: str, tool: str, reply: dict[str, Any] | None, error: str) -> None:
        report = self._report
        if reply is not None:
            report.operations[tool] += 1
            said = json.dumps(reply, ensure_ascii=False)
        else:
            said = error
            if STORE_SAYS in error:
                report.refused["full" if "space" in error else "busy" if "too long" in error else error] += 1
            elif any(one in error for one in EXPECTED) and "\n" not in error:
                report.refused["conflict or not found"] += 1
            else:
                report.findings.unclear.append(f"{tool} of {user}: {error!r}")
        if others := marks_of_others(user, said):
            report.findings.leaked.append(f"{tool} of {user} tells {others}: {said}")

    def _text(self, user: str) -> str:
        deed, subject = self._chance.choice(DEEDS), self._chance.choice(SUBJECTS)
        return f"{mark_of(user)} {deed} {subject}, number {self._number()}"
