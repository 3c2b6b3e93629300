"""Many processes that write to one file at once: whether every sum is right, and how long a write waits for its turn.

A third of the writes add, a third count up shared memories by `if_version`, a third undo what the process has added.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import anyio

from benchmarks.soak_model import integrity
from benchmarks.soak_process import Lean

USER: Final = "alice"
COUNTERS: Final = 4
LOCK_TIMEOUT: Final = 10.0


@dataclass
class Result:
    """What came of it. `waits` are the seconds of every write, a refused one too; `wrong` has what must not be."""

    writes: int = 0
    conflicts: int = 0
    seconds: float = 0
    waits: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])

    def wait(self, share: float) -> float:
        """Seconds within which that share of the writes had their reply."""
        return sorted(self.waits)[int(share * (len(self.waits) - 1))]


class _Contest:
    def __init__(self, processes: list[Lean], writes: int) -> None:
        self._processes = processes
        self._writes = writes
        self._counters: list[str] = []
        self._added: Counter[str] = Counter()
        self.result = Result()

    async def run(self) -> None:
        for number in range(COUNTERS):
            reply = await self._write(self._processes[0], "add_memory", content=f"Counter {number} is at 0")
            self._counters.append(reply["memory"]["id"])
        self.result.waits.clear()
        begun = perf_counter()
        async with anyio.create_task_group() as tasks:
            for number, process in enumerate(self._processes):
                tasks.start_soon(self._work, process, number)
        self.result.seconds = perf_counter() - begun
        await self._count()

    async def _work(self, process: Lean, number: int) -> None:
        """`writes` writes that succeed, one after the other."""
        added = ""
        for step in range(self._writes):
            match step % 3:
                case 0:
                    reply = await self._write(process, "add_memory", content=f"Process {number} has fact {step}")
                    added = reply["change_id"]
                    self._added["kept"] += 1
                case 1:
                    await self._count_up(process, self._counters[(number + step) % COUNTERS])
                    self._added["counted"] += 1
                case _:
                    await self._write(process, "undo", change_id=added)
                    self._added["kept"] -= 1

    async def _count_up(self, process: Lean, counter: str) -> None:
        while True:
            reply, error = await process.call("get_memory", {"user_id": USER, "id": counter})
            if reply is None:
                raise RuntimeError(error)
            head, value = reply["memory"]["content"].rsplit(" ", 1)
            given = {"id": counter, "content": f"{head} {int(value) + 1}", "if_version": reply["memory"]["version"]}
            if await self._tried(process, "update_memory", given):
                return
            self.result.conflicts += 1

    async def _write(self, process: Lean, tool: str, **given: str) -> dict[str, Any]:
        reply = await self._tried(process, tool, given)
        if reply is None:
            raise RuntimeError(f"{tool}: {self.result.wrong}")
        return reply

    async def _tried(self, process: Lean, tool: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The reply; none after a conflict of versions, the one error that may come."""
        begun = perf_counter()
        reply, error = await process.call(tool, {"user_id": USER, **given})
        self.result.waits.append(perf_counter() - begun)
        self.result.writes += reply is not None
        if reply is None and "at version" not in error:
            self.result.wrong.append(f"{tool} {given}: {error}")
            raise RuntimeError(error)
        return reply

    async def _count(self) -> None:
        total = 0
        for counter in self._counters:
            reply, error = await self._processes[-1].call("get_memory", {"user_id": USER, "id": counter})
            if reply is None:
                self.result.wrong.append(error)
                continue
            value = int(reply["memory"]["content"].rsplit(" ", 1)[1])
            if reply["memory"]["version"] != value + 1:
                self.result.wrong.append(f"{reply['memory']} is at another version")
            total += value
        if total != self._added["counted"]:
            self.result.wrong.append(f"the counters say {total}, {self._added['counted']} increments were acknowledged")
        reply, error = await self._processes[-1].call("list_memories", {"user_id": USER, "limit": 1})
        if reply is None or reply["total"] != self._added["kept"] + COUNTERS:
            self.result.wrong.append(f"{reply or error}: {self._added['kept']} adds stand and {COUNTERS} counters")


async def contend(folder: Path, processes: int, writes: int) -> Result:
    """`processes` processes that make `writes` writes each, all at once, in a file in `folder`."""
    database = folder / "contention.db"
    started: list[Lean] = []
    for number in range(processes):
        process = Lean(f"process {number}", database, LOCK_TIMEOUT)
        await process.start()
        started.append(process)
    try:
        for process in started:  # until its store is open
            await process.call("list_memories", {"user_id": USER, "limit": 1})
        contest = _Contest(started, writes)
        await contest.run()
    finally:
        for process in started:
            await process.close()
    if (found := integrity(database)) != "ok":
        contest.result.wrong.append(found)
    return contest.result


def main(folder: Path, processes: int = 8, writes: int = 500) -> int:
    result = anyio.run(contend, folder, processes, writes)
    for wrong in result.wrong:
        print(wrong)
    print(f"writes acknowledged  {result.writes:,} by {processes} processes, {result.conflicts:,} version conflicts")
    print(f"seconds              {result.seconds:.1f} ({result.writes / result.seconds:.0f} writes/s)")
    waits = ", ".join(f"{name} {result.wait(share) * 1000:.0f} ms" for name, share in _SHARES)
    print(f"waits                {waits}")
    print(f"wrong                {len(result.wrong)}")
    return int(bool(result.wrong))


_SHARES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0))
