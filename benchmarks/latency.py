"""The budgets of the design, each as a ratio measured in one run: `python -m benchmarks.latency --help`."""

import argparse
import asyncio
import json
import platform
import random
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.common import (
    EVAL,
    PipeClient,
    Samples,
    corpus,
    fill,
    interleaved,
    measure,
    opened,
    queries,
    resident_mb,
    texts,
)
from mcp_memory import ranking
from mcp_memory.models import Filter
from mcp_memory.ranking import Query
from mcp_memory.store.base import Store
from mcp_memory.text import Analyzer

EMPTY: Final = "benchmarks.empty_server"
OWNER: Final = "alice"
OTHERS: Final = 500
PER_OTHER: Final = 400
TOOL_LIST_BYTES: Final = 8 * 1024
MORE_MB: Final = 60
FIRST_SEARCH: Final = 0.3
SEARCH_BUDGETS: Final = {1_000: 2.5, 10_000: 5.0, 100_000: 25.0}


@dataclass(frozen=True)
class Row:
    """One budget. `ours` and `against` are medians in `unit`, the ratios are ours / against; None is not available."""

    what: str
    against_what: str
    unit: str
    ours: float | None
    against: float | None
    budget: float
    ratio: float | None
    ratio_of_least: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.what,
            _number(self.ours, self.unit),
            _number(self.against, self.unit),
            self.against_what,
            f"<= {self.budget:g}",
            self._verdict(self.ratio),
            self._verdict(self.ratio_of_least),
        )

    def _verdict(self, ratio: float | None) -> str:
        if ratio is None:
            return "n/a"
        return f"{ratio:.2f} {'ok' if ratio <= self.budget else 'over'}"


@dataclass(frozen=True)
class Options:
    """What a run measures."""

    rounds: int
    slots: int
    large: bool
    crowd: bool


class Bench:
    """One run, in a folder that is gone afterwards."""

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder
        self._options = options
        self._config = folder / "empty.toml"
        self._config.touch()
        self._queries = queries(options.slots)
        self.built: list[dict[str, float]] = []

    def rows(self) -> Iterator[Row]:
        """Every row, as soon as it is measured."""
        small = self._built("1,000 memories", [(OWNER, 1_000)])
        yield from self._start(small)
        yield self._tool_list(small)
        yield self._search(small, 1_000)
        yield from self._ten_thousand()
        if self._options.large:
            yield self._search(self._built("100,000 memories", [(OWNER, 100_000)]), 100_000)
        if self._options.crowd:
            yield from self._crowd(small)

    def _start(self, database: Path) -> Iterator[Row]:
        things = {"ours": (self._server(database), "search_memories"), "empty": ((EMPTY,), "search")}
        starts = {name: Samples() for name in things}
        first = Samples()
        chance = random.Random(0)
        for round_ in range(-1, max(self._options.rounds, 5)):
            for name in chance.sample(list(things), len(things)):
                module, tool = things[name]
                begun = perf_counter()
                with PipeClient(*module) as client:
                    started = perf_counter()
                    client.call(tool, query=self._queries[0])
                    answered = perf_counter()
                if round_ < 0:  # this one compiles and warms the disk cache
                    continue
                starts[name].add(0, started - begun)
                if name == "ours":
                    first.add(0, answered - started)
        yield _times("start: spawn to initialize reply", "empty server", 1.15, starts["ours"], starts["empty"])
        yield _times("first search, right after the start", "the start", FIRST_SEARCH, first, starts["ours"])

    def _tool_list(self, database: Path) -> Row:
        with PipeClient(*self._server(database)) as ours:
            tools = ours.request("tools/list", {})["tools"]
        parts = [{name: tool[name] for name in ("name", "description", "inputSchema")} for tool in tools]
        size = len(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode())
        ratio = size / TOOL_LIST_BYTES
        return Row("tool list", "8 KB", "bytes", size, TOOL_LIST_BYTES, 1.0, ratio, ratio)

    def _search(self, database: Path, count: int) -> Row:
        with PipeClient(*self._server(database)) as ours, PipeClient(EMPTY) as empty:
            return self._compared(ours, empty, count)

    def _compared(self, ours: PipeClient, empty: PipeClient, count: int) -> Row:
        things = {"ours": partial(self._ask, ours, "search_memories"), "empty": partial(self._ask, empty, "search")}
        measure(min(self._options.slots, 5), 1, things)
        samples = measure(self._options.slots, self._options.rounds, things)
        what = f"search round trip, {count:,} memories"
        return _times(what, "no-op tool", SEARCH_BUDGETS[count], samples["ours"], samples["empty"])

    def _ten_thousand(self) -> Iterator[Row]:
        database = self._built("10,000 memories", [(OWNER, 10_000)])
        with PipeClient(*self._server(database)) as ours, PipeClient(EMPTY) as empty:
            yield self._compared(ours, empty, 10_000)
            yield _resident(ours, empty)
            yield self._add(ours, empty)

    def _add(self, ours: PipeClient, empty: PipeClient) -> Row:
        new = texts(self._options.slots, seed=11)

        def add(slot: int, round_: int) -> None:
            ours.call("add_memory", content=f"{new[slot][:3_900]} (no {round_})")

        def commit(slot: int, _: int) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO plain (content) VALUES (?)", (new[slot],))
            connection.execute("COMMIT")

        with closing(sqlite3.connect(self._folder / "plain.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE plain (number INTEGER PRIMARY KEY, content TEXT NOT NULL)")
            things = {"add": add, "commit": commit, "empty": partial(self._ask, empty, "search")}
            found = measure(self._options.slots, self._options.rounds, things)
        allowed = 3 * found["empty"].median + 1.5 * found["commit"].median
        allowed_least = 3 * found["empty"].least + 1.5 * found["commit"].least
        against = f"3 x no-op ({found['empty'].median:.2f}) + 1.5 x raw commit ({found['commit'].median:.2f})"
        return Row(
            what="durable add round trip, 10,000 memories",
            against_what=against,
            unit="ms",
            ours=found["add"].median,
            against=allowed,
            budget=1.0,
            ratio=found["add"].median / allowed,
            ratio_of_least=found["add"].least / allowed_least,
        )

    def _crowd(self, alone: Path) -> Iterator[Row]:
        others = [(f"user {number}", PER_OTHER) for number in range(OTHERS)]
        crowd = self._built(f"1,000 memories among {OTHERS * PER_OTHER:,}", [(OWNER, 1_000), *others])
        with PipeClient(*self._server(crowd)) as among, PipeClient(*self._server(alone)) as alone_server:
            things = {
                "crowd": partial(self._ask, among, "search_memories"),
                "alone": partial(self._ask, alone_server, "search_memories"),
            }
            measure(min(self._options.slots, 5), 1, things)
            trips = measure(self._options.slots, self._options.rounds, things)
        what = f"search round trip, 1,000 of 201,000 memories of {OTHERS + 1} users"
        yield _times(what, "alone in the file", 1.2, trips["crowd"], trips["alone"])
        stored = asyncio.run(self._store_times({"crowd": crowd, "alone": alone}))
        yield _times("  the same, store time alone", "alone in the file", 1.5, stored["crowd"], stored["alone"])

    async def _store_times(self, databases: dict[str, Path]) -> dict[str, Samples]:
        samples = {name: Samples() for name in databases}
        chance = random.Random(0)
        async with opened(databases["crowd"]) as crowd, opened(databases["alone"]) as alone:
            stores = {"crowd": crowd, "alone": alone}
            for slot in range(min(self._options.slots, 5)):
                for store in stores.values():
                    await _store_search(store, self._queries[slot])
            for _, slot in interleaved(self._options.slots, self._options.rounds):
                for name in chance.sample(list(stores), len(stores)):
                    samples[name].add(slot, await _store_search(stores[name], self._queries[slot]))
        return samples

    def _ask(self, client: PipeClient, tool: str, slot: int, _: int) -> None:
        client.call(tool, query=self._queries[slot])

    def _server(self, database: Path) -> tuple[str, ...]:
        return ("mcp_memory", "serve", "--config", str(self._config), "--database", str(database), "--user", OWNER)

    def _built(self, what: str, users: list[tuple[str, int]]) -> Path:
        """A new database. The owner's memories come in ten parts, between those of the others, as in real life."""
        database = self._folder / f"{len(self.built)}.db"
        begun = perf_counter()
        asyncio.run(_build(database, users))
        taken = perf_counter() - begun
        count = sum(number for _, number in users)
        self.built.append({"memories": count, "seconds": taken})
        _say(f"built {what} in {taken:.1f} s ({count / taken:,.0f} memories/s, {database.stat().st_size >> 20} MB)")
        return database


async def _build(database: Path, users: list[tuple[str, int]]) -> None:
    (owner, own), *others = users
    parts = 10
    own_texts = texts(own)
    other_texts = texts(others[0][1] * 20, seed=13) if others else []
    async with opened(database) as store:
        for part in range(parts):
            await fill(store, owner, own_texts[part * own // parts : (part + 1) * own // parts])
            for number, (name, count) in enumerate(others[part::parts]):
                start = (number * parts + part) * count % len(other_texts)
                await fill(store, name, other_texts[start : start + count])


async def _store_search(store: Store, query: str) -> float:
    """Seconds that the store takes of one search for ten hits."""
    terms = list(Analyzer().query_terms(query))[:64]
    begun = perf_counter()
    found = await store.candidates(OWNER, terms, Filter(now=0))
    taken = perf_counter() - begun
    asked = Query(terms=tuple(terms), weights=(1,) * len(terms))
    best = [int(found.rows[one.place]) for one in ranking.rank(found, asked, 10, 0.0).hits]
    begun = perf_counter()
    await store.living(OWNER, best, 0)
    return taken + perf_counter() - begun


def _times(what: str, against_what: str, budget: float, ours: Samples, against: Samples) -> Row:
    return Row(
        what=what,
        against_what=against_what,
        unit="ms",
        ours=ours.median,
        against=against.median,
        budget=budget,
        ratio=ours.median / against.median,
        ratio_of_least=ours.least / against.least,
    )


def _resident(ours: PipeClient, empty: PipeClient) -> Row:
    what, against_what = "resident memory, 10,000 memories", f"empty server + {MORE_MB} MB"
    own, bare = resident_mb(ours.pid), resident_mb(empty.pid)
    if own is None or bare is None:
        return Row(what, against_what, "MB", None, None, 1.0, None, None)
    ratio = own / (bare + MORE_MB)
    return Row(what, against_what, "MB", own, bare + MORE_MB, 1.0, ratio, ratio)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "n/a"
    return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.2f} {unit}"


def _table(rows: list[Row]) -> str:
    head = ("what", "ours", "against", "", "budget", "ratio", "of minima")
    cells = [head, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _facts(options: Options) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
        "mcp": version("mcp"),
        "texts": "evaluation sets" if any(EVAL.glob("*.json.gz")) else "generated",
        **asdict(options),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each start and each question is repeated")
    parser.add_argument("--quick", action="store_true", help="5 rounds, 20 questions, without the 500 other users")
    parser.add_argument("--large", action="store_true", help="also 100,000 memories")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--folder", type=Path, help="where the databases are built, and so which disk is measured")
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    options = Options(
        rounds=5 if given.quick else max(1, given.rounds),
        slots=20 if given.quick else 40,
        large=given.large,
        crowd=not given.quick,
    )
    facts = _facts(options)
    _say(" · ".join(f"{name} {value}" for name, value in facts.items()))
    corpus()
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-", dir=given.folder) as folder:
        bench = Bench(Path(folder), options)
        rows: list[Row] = []
        for row in bench.rows():
            rows.append(row)
            _say("  ".join(row.cells))
    print(_table(rows))
    if given.json:
        report = {"facts": facts, "built": bench.built, "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
