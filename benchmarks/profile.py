"""What a profile of 10,000 memories costs, and how much of its budget it uses: `python -m benchmarks.profile --help`.

With the vocabularies that `benchmarks.vocabularies` names, real tokenizers count besides our estimate.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

from benchmarks.common import ROOT, environment, opened
from benchmarks.statements import KINDS, statements
from benchmarks.vocabularies import counters
from mcp_memory.app import open_app
from mcp_memory.clock import ID_ALPHABET, ID_LENGTH, SystemClock
from mcp_memory.config import Config
from mcp_memory.embed.base import packed
from mcp_memory.embed.builtin import BuiltinEmbedder
from mcp_memory.models import Change, Memory, Step
from mcp_memory.service import MemoryService
from mcp_memory.service.profile import Profile
from mcp_memory.store.base import Store

BUDGETS: Final = (200, 1_000, 4_000)
MOST_MS: Final = 50
MOST_RATIO: Final = 3.0
TOPICS: Final = ("work", "family", "travel", "health", "music", "plans", "food", "money")
BASE: Final = ("-c", "import pydantic, click, sqlite3")


async def fill(store: Store, kind: str, count: int) -> None:
    """Add `count` memories of a user called as the kind is; one in 1,000 is pinned, one in 500 has a key."""
    now, contents = SystemClock().now(), statements(kind, count)
    vectors = packed(await BuiltinEmbedder().embed(contents))
    steps: list[Step] = []
    for number, (content, vector) in enumerate(zip(contents, vectors, strict=True)):
        at = now - (count - number) * 60_000_000
        memory = Memory(
            id=_id(number),
            content=content,
            topics=(TOPICS[number % len(TOPICS)],),
            key=f"fact_{number}" if number % 500 == 0 else None,
            pinned=number % 1_000 == 1,
            created_at=at,
            updated_at=at,
            worded_at=at,
            version=1 + number % 7,
        )
        steps.append(Step(operation="add", memory=memory, vector=vector))
    async with store.transaction(kind) as turn:
        await turn.record(Change(id=_id(count), at=now, tool="benchmark", summary="filled"), steps)


def _id(number: int) -> str:
    digits = ""
    for _ in range(ID_LENGTH):
        number, digit = divmod(number, len(ID_ALPHABET))
        digits = ID_ALPHABET[digit] + digits
    return digits


async def timed(service: MemoryService, user: str, budget: int, about: str | None, rounds: int) -> tuple[float, float]:
    """How long a profile takes, in milliseconds: the median, and the least processor time of all threads."""
    times: list[float] = []
    busy: list[float] = []
    for _ in range(rounds):
        start, before = perf_counter(), process_time()
        await service.profile(user, budget, about)
        times.append((perf_counter() - start) * 1_000)
        busy.append((process_time() - before) * 1_000)
    return median(times), min(busy)


async def measure(database: Path, count: int, rounds: int, real: Mapping[str, Callable[[str], int]]) -> None:
    async with open_app(Config(database=str(database))) as app:
        service = await app.service()
        print("kind     budget shown estimate median ms   cpu ms about ms", *real)
        for kind in KINDS:
            about = " ".join(statements(kind, 1)[0].split()[:6])
            await service.profile(kind, BUDGETS[0], about)  # loads the vectors
            for budget in BUDGETS:
                made = await service.profile(kind, budget)
                took, busy = await timed(service, kind, budget, None, rounds)
                searched, _ = await timed(service, kind, budget, about, max(3, rounds // 4))
                counts = [one(made.text) for one in real.values()]
                over = " OVER" if max([made.tokens, *counts]) > budget or took > MOST_MS else ""
                cells = f"{kind:8} {budget:6} {_count(made):5} {made.tokens:8} {took:9.1f} {busy:8.1f}"
                print(cells, f"{searched:8.1f}", *counts, over)
    print(f"each of {count:,} memories; the budget of time is {MOST_MS} ms")


def _count(made: Profile) -> int:
    return sum(len(group.memories) for group in made.groups)


def compare(database: Path, rounds: int) -> None:
    """Print how long the command takes, against the imports that any command needs."""
    ours = ("-m", "mcp_memory", "profile", "--user", "english", "--database", str(database))
    times: dict[tuple[str, ...], list[float]] = {BASE: [], ours: []}
    for _ in range(rounds):
        for arguments, taken in times.items():
            start = perf_counter()
            subprocess.run(
                [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment()
            )
            taken.append((perf_counter() - start) * 1_000)
    base, command = times[BASE], times[ours]
    ratios = f"{median(command) / median(base):.2f} (of the least: {min(command) / min(base):.2f})"
    print(f"mcp-memory profile {median(command):.0f} ms, imports {median(base):.0f} ms: {ratios}, <= {MOST_RATIO:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000, help="of each kind (default: 10,000)")
    parser.add_argument("--rounds", type=int, default=20, help="of every figure (default: 20)")
    parser.add_argument("--vocabularies", type=Path, help="the folder that benchmarks.vocabularies tells how to get")
    asked = parser.parse_args()
    real: Mapping[str, Callable[[str], int]] = counters(asked.vocabularies) if asked.vocabularies else {}
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "memory.db"
        asyncio.run(_filled(database, asked.memories))
        asyncio.run(measure(database, asked.memories, asked.rounds, real))
        compare(database, asked.rounds)


async def _filled(database: Path, count: int) -> None:
    async with opened(database) as store:
        for kind in KINDS:
            await fill(store, kind, count)


if __name__ == "__main__":
    main()
