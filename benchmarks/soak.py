"""Processes on one file that are killed, stopped, run out of space and have their clocks set, held against a model.

`python -m benchmarks.soak --help`; `make soak SECONDS=300`. The seed decides what is asked and what is done to the
processes; how they meet is the machine's chance. Exit code 1 when anything was lost or leaked.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from benchmarks import contention
from benchmarks.soak_caller import Caller, Report
from benchmarks.soak_model import Audit, Model, Outcome, integrity
from benchmarks.soak_process import Gone, Lean, Process, Real

CALLERS: Final = 3
"""Calls that run at once in each process."""
LOCK_TIMEOUT: Final = 2.0
ROUND: Final = 20.0
"""Seconds after which all goes on with a new file: its beginning is attacked too, and checking it stays quick."""
KILL_EVERY: Final = 0.65
TEND_EVERY: Final = 0.8


class Round:
    """One file, from its creation to the audit of all that was written."""

    def __init__(self, database: Path, report: Report, chance: random.Random) -> None:
        self._database = database
        self._report = report
        self._chance = chance
        self._model = Model(report.findings)
        self._texts = 0
        self._processes: list[Process] = []
        self._successors: list[anyio.Event] = []

    async def run(self, seconds: float) -> None:
        for place in range(self._report.processes):
            self._processes.append(await self._started(place))
            self._successors.append(anyio.Event())
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                self._begin(tasks)
        # The callers were cut off in the middle: what they waited for is as open as after a kill.
        for write in self._model.writes:
            if write.outcome is Outcome.RUNNING:
                self._model.end(write, Outcome.OPEN)
        for process in self._processes:
            process.signal(signal.SIGCONT)
            if not await process.close():
                self._report.findings.unclear.append(f"{process.name} did not end when its input was closed")
        await self._check()
        await run_sync(self._audit)

    def _begin(self, tasks: TaskGroup) -> None:
        for place in range(len(self._processes)):
            for _ in range(CALLERS):
                tasks.start_soon(self._call, place, random.Random(self._chance.random()))
        tasks.start_soon(self._kill)
        tasks.start_soon(self._stop)
        tasks.start_soon(self._fill)
        tasks.start_soon(self._set_clocks)

    async def _call(self, place: int, chance: random.Random) -> None:
        caller = Caller(self._model, self._report, chance, self._next)
        while True:
            process = self._processes[place]
            try:
                await caller.step(process)
            except Gone:
                if not process.ending:
                    self._report.findings.unclear.append(f"{process.name} ended by itself")
                if self._processes[place] is process:
                    await self._successors[place].wait()
            await checkpoint()

    def _next(self) -> int:
        self._texts += 1
        return self._texts

    async def _started(self, place: int) -> Process:
        """The process of that place: the first is the real server."""
        kind = Lean if place else Real
        process = kind(f"process {place}", self._database, LOCK_TIMEOUT)
        await process.start()
        return process

    async def _kill(self) -> None:
        pause = self._chance.uniform(0, 0.2)  # at once: the file is just being made
        while True:
            await anyio.sleep(pause)
            pause = self._chance.uniform(0, 2 * KILL_EVERY)
            weights = [1 if place == 0 else 3 for place in range(len(self._processes))]
            place = self._chance.choices(range(len(self._processes)), weights)[0]
            victim = self._processes[place]
            if self._chance.random() < 0.1:
                victim.signal(signal.SIGSTOP)
                await anyio.sleep(self._chance.uniform(0, 0.05))
            with anyio.CancelScope(shield=True):
                victim.signal(signal.SIGKILL)
                await victim.wait()
                self._report.kills += 1
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._check)
                    tasks.start_soon(self._replace, place)

    async def _replace(self, place: int) -> None:
        self._processes[place] = await self._started(place)
        self._successors[place].set()
        self._successors[place] = anyio.Event()

    async def _stop(self) -> None:
        while True:
            await anyio.sleep(self._chance.uniform(0, 4 * TEND_EVERY))
            process = self._chance.choice(self._processes)
            long = self._chance.random() < 0.1
            process.signal(signal.SIGSTOP)
            self._report.stops += 1
            try:
                await anyio.sleep(LOCK_TIMEOUT + 0.5 if long else self._chance.uniform(0.01, 0.4))
            finally:
                process.signal(signal.SIGCONT)

    async def _fill(self) -> None:
        """No file grows for a while, by the hand of one process or of all lean ones."""
        while True:
            await anyio.sleep(self._chance.uniform(0, 5 * TEND_EVERY))
            lean = [one for one in self._processes if isinstance(one, Lean)]
            hit = lean if self._chance.random() < 0.3 else [self._chance.choice(lean)]
            size = max(_size(self._database), self._wal())
            self._limit(hit, self._chance.randint(size // 2, size + 40_000))
            self._report.full += 1
            try:
                await anyio.sleep(self._chance.uniform(0.05, 0.5))
            finally:
                self._limit(hit, None)

    def _wal(self) -> int:
        """Bytes of the write-ahead log, of which the report tells the most."""
        size = _size(self._database.with_name(f"{self._database.name}-wal"))
        self._report.largest_wal = max(self._report.largest_wal, size)
        return size

    def _limit(self, processes: list[Lean], size: int | None) -> None:
        for process in processes:
            try:
                process.limit(size)
            except Gone:
                continue

    async def _set_clocks(self) -> None:
        while True:
            await anyio.sleep(self._chance.uniform(0, 3 * TEND_EVERY))
            process = self._chance.choice([one for one in self._processes if isinstance(one, Lean)])
            try:
                process.jump(self._chance.choice((-1, 1)) * self._chance.choice((60, 3_600, 86_400 * 400)))
            except Gone:
                continue
            self._report.jumps += 1

    async def _check(self) -> None:
        self._wal()
        found = await run_sync(integrity, self._database)
        self._report.checks += 1
        if found == "ok":
            self._report.sound += 1
        else:
            self._report.findings.unclear.append(f"integrity_check: {found}")

    def _audit(self) -> None:
        Audit(self._model, self._database, self._report.findings).run()
        self._report.files += 1


async def soak(seconds: float, seed: int, processes: int, folder: Path, tell: Callable[[str], None]) -> Report:
    """Run for about `seconds` in `folder`."""
    report, chance = Report(seed, processes), random.Random(seed)
    begun = perf_counter()
    while (left := seconds - (perf_counter() - begun)) > 0:
        database = folder / f"{report.files}.db"
        await Round(database, report, chance).run(min(left, ROUND))
        report.seconds = perf_counter() - begun
        told = report.operations.total()
        tell(f"{report.seconds:.0f} s: {told:,} operations, {report.kills} kills, {len(report.findings.lost)} lost")
        if report.failed:
            break
        await run_sync(_remove, database)
    return report


def _remove(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one each time")
    parser.add_argument("--processes", type=int, default=4, help="the first is the real server")
    parser.add_argument("--folder", type=Path, help="where the databases are, and so which disk is written to")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--contention", action="store_true", help="instead: 8 processes x 500 writes, no faults")
    given = parser.parse_args()
    if given.processes < 2:
        parser.error("--processes: 2 at least")
    return given


def main() -> int:
    given = _arguments()
    if sys.platform == "win32":
        _say("The soak test stops processes by signals, which Windows has not; tests/test_kill.py runs there.")
        return 2
    with tempfile.TemporaryDirectory(prefix="mcp-memory-soak-", dir=given.folder) as folder:
        if given.contention:
            return contention.main(Path(folder))
        seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
        report = anyio.run(soak, given.seconds, seed, given.processes, Path(folder), _say)
    for findings in (report.findings.leaked, report.findings.lost, report.findings.unclear):
        for finding in findings[:20]:
            print(finding)
    print("\n".join(report.lines()))
    if given.json:
        given.json.write_text(json.dumps(report.figures(), indent=2), encoding="utf-8")
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
