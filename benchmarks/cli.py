"""What commands cost to start and answer, as ratios of one run, on POSIX: `python -m benchmarks.cli --help`."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.common import fill, texts
from mcp_memory.app import open_app, open_store
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin

OWNER: Final = "alice"
BASE: Final = "import pydantic, click, sqlite3"
LIBRARIES: Final = "import click, msgspec, anyio, aiosqlite, anyio._backends._asyncio"
"""What every command that reads loads of others, without a line of ours: values, and one connection to a file."""
HELP_BUDGET: Final = 1.5
READING_BUDGET: Final = 2.5


class Timed:
    """One command line; what its processes took of processor time and of the clock, in seconds."""

    def __init__(self, name: str, arguments: Sequence[str], budget: float | None = None) -> None:
        self.name = name
        self.budget = budget
        self._command = [sys.executable, *arguments]
        self.busy: list[float] = []
        self.wall: list[float] = []

    def run(self, environ: Mapping[str, str]) -> None:
        begun, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
        subprocess.run(self._command, env=environ, check=True, stdout=subprocess.DEVNULL)
        after = getrusage(RUSAGE_CHILDREN)
        self.wall.append(perf_counter() - begun)
        self.busy.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


async def _filled(database: Path, count: int) -> str:
    """A file of that many memories and one more; the id of that."""
    config = Config(database=str(database), user=OWNER)
    async with open_store(config, SystemClock()) as store:
        await fill(store, OWNER, texts(count))
    async with open_app(config) as app:
        given = Fields(content="Lives in Lisbon", key="home_city", topics=["home"])
        added = await (await app.service()).add(OWNER, given, Origin(tool="add_memory", client="desk"))
        return added.memory.id


def _commands(database: Path, memory_id: str) -> list[Timed]:
    def ours(*arguments: str, budget: float = READING_BUDGET) -> Timed:
        place = () if arguments == ("--help",) else ("--database", str(database))
        user = () if arguments[0] in {"--help", "users"} else ("--user", OWNER)
        return Timed(" ".join(arguments), ("-m", "mcp_memory", *arguments, *place, *user), budget)

    return [
        Timed(BASE, ("-c", BASE)),
        Timed("the libraries alone", ("-c", LIBRARIES)),
        ours("--help", budget=HELP_BUDGET),
        ours("list"),
        ours("list", "--json"),
        ours("show", memory_id),
        ours("history", memory_id),
        ours("changes"),
        ours("stats"),
        ours("users"),
        ours("search", "where is home"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=1_000, help="How many memories the file has.")
    parser.add_argument("--rounds", type=int, default=15, help="How often each command runs.")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "memory.db"
        timed = _commands(database, asyncio.run(_filled(database, wanted.memories)))
        # As it is installed: every module is compiled before the first command runs.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ |= {"PYTHONPYCACHEPREFIX": str(Path(folder) / "compiled")}
        for _ in range(wanted.rounds + 1):
            for one in timed:
                one.run(environ)
    print(f"{wanted.memories:,} memories, {wanted.rounds} rounds; least processor time, median of the clock")
    base = min(timed[0].busy[1:])
    for one in timed:
        ratio = min(one.busy[1:]) / base
        kept = "" if one.budget is None else f"  <= {one.budget}: {'yes' if ratio <= one.budget else 'NO'}"
        least, usual = 1e3 * min(one.busy[1:]), 1e3 * median(one.wall[1:])
        print(f"{one.name:32} {least:6.0f} ms {usual:6.0f} ms {ratio:6.2f} x{kept}")


if __name__ == "__main__":
    main()
