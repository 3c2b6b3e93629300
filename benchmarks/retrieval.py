"""How often a search finds what answers a question, and what plain searches find: `python -m benchmarks.retrieval`."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

from mcp import Client

from benchmarks.baselines import Baseline, available
from benchmarks.common import EVAL, Conversation, EvalSet, distinct, read_set, record, sampled
from benchmarks.measures import COLUMNS, DEPTHS, Interval, intervals, measures
from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import EmbeddingConfig, SearchConfig
from mcp_memory.server import build_server

OURS: Final = "mcp-memory"
ALL: Final = "all"
BARS: Final[Mapping[str, Mapping[str, float]]] = {
    "locomo": {"recall@5": 0.61, "recall@10": 0.69},
    "locomo_obs": {"recall@5": 0.68, "recall@10": 0.745},
    "realmem": {"recall@10": 0.28},
    "madial_zh": {"recall@10": 0.52},
}
"""The least that the project promises itself, over all questions of a set."""

_NAME: Final = 24
_CELL: Final = 22


class Reply(NamedTuple):
    """Ids and public scores, best first, and the arms that served. A refused question has no hits and no arms."""

    hits: tuple[tuple[str, float], ...] = ()
    modes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Door:
    """The two things that a measurement needs, through the service or through the tools."""

    add: Callable[[str, str], Awaitable[str | None]]
    """User and text to the memory's id; None if the text is refused."""

    search: Callable[[str, str], Awaitable[Reply]]
    """User and question to the hits."""


class Row(NamedTuple):
    """One question: its category, and a number for each of `COLUMNS`."""

    category: str
    values: tuple[float, ...]


@dataclass
class Notes:
    """What happened on the way: memories kept, arms that served, what was refused."""

    memories: int = 0
    modes: set[str] = field(default_factory=set[str])
    refused: list[str] = field(default_factory=list[str])

    def serve(self, modes: Iterable[str]) -> None:
        """Keep which arms served; searches of different periods are one arm."""
        self.modes.update(mode.split()[0] for mode in modes)


@asynccontextmanager
async def service_door(config: Config, limit: int = max(DEPTHS)) -> AsyncGenerator[Door]:
    """Straight to the service."""
    origin = Origin(tool="benchmark")
    async with open_app(config) as app:
        service = await app.service()

        async def add(user: str, content: str) -> str | None:
            try:
                return (await service.add(user, Fields(content=content), origin)).memory.id
            except InvalidInput:
                return None

        async def search(user: str, query: str) -> Reply:
            try:
                found = await service.search(user, query, service.scope(), limit=limit)
            except InvalidInput:
                return Reply()
            return Reply(tuple((hit.memory.id, hit.score) for hit in found.hits), found.modes)

        yield Door(add, search)


@asynccontextmanager
async def tools_door(config: Config, limit: int = max(DEPTHS)) -> AsyncGenerator[Door]:
    """Through the tools of a server in this process, as a client sees them."""
    async with Client(build_server(config.replace(identity="argument"))) as client:

        async def call(tool: str, **arguments: object) -> dict[str, Any] | None:
            result = await client.call_tool(tool, arguments)
            return None if result.is_error else result.structured_content

        async def add(user: str, content: str) -> str | None:
            reply = await call("add_memory", user_id=user, content=content)
            return reply["memory"]["id"] if reply else None

        async def search(user: str, query: str) -> Reply:
            reply = await call("search_memories", user_id=user, query=query, limit=limit)
            if reply is None:
                return Reply()
            return Reply(tuple((hit["id"], hit["score"]) for hit in reply["hits"]), tuple(reply["modes"]))

        yield Door(add, search)


async def remember(door: Door, talk: Conversation, notes: Notes) -> dict[str, str]:
    """Add the memories of a conversation; the set's ids by ours."""
    ids: dict[str, str] = {}
    for memory in talk.memories:
        memory_id = await door.add(talk.id, memory.text)
        if memory_id is None or memory_id in ids:
            notes.refused.append(f"memory {memory.id}")
        else:
            ids[memory_id] = memory.id
    notes.memories += len(ids)
    return ids


async def measure(door: Door, talks: Iterable[Conversation]) -> tuple[list[Row], Notes]:
    """A row for every question; every conversation is a user."""
    rows, notes = list[Row](), Notes()
    for talk in talks:
        ids = await remember(door, talk, notes)
        for question in talk.questions:
            reply = await door.search(talk.id, question.text)
            notes.serve(reply.modes)
            if not reply.modes:
                notes.refused.append(f"question {question.text[:60]!r}")
            ranked = [ids.get(memory_id, "") for memory_id, _ in reply.hits]
            rows.append(Row(question.category, measures(ranked, question.evidence)))
    return rows, notes


def compare(baseline: Baseline, talks: Iterable[Conversation]) -> list[Row]:
    """The rows of a baseline, in the same order."""
    rows: list[Row] = []
    for talk in talks:
        with baseline.over([memory.text for memory in talk.memories]) as rank:
            for question in talk.questions:
                ranked = [talk.memories[number].id for number in rank(question.text)]
                rows.append(Row(question.category, measures(ranked, question.evidence)))
    return rows


def figures(rows: Sequence[Row]) -> dict[str, list[Interval]]:
    """The intervals of `COLUMNS` over everything first, then over each category where there are several."""
    categories = sorted({row.category for row in rows})
    groups = {ALL: [row.values for row in rows]}
    if len(categories) > 1:
        groups |= {name: [row.values for row in rows if row.category == name] for name in categories}
    return {name: intervals(values) for name, values in groups.items()}


def gained(ours: Sequence[Row], theirs: Sequence[Row]) -> list[Interval]:
    """The intervals of the differences, question by question."""
    pairs = zip(ours, theirs, strict=True)
    return intervals([[a - b for a, b in zip(one.values, other.values, strict=True)] for one, other in pairs])


def table(measured: Mapping[str, Sequence[Row]], bars: Mapping[str, float]) -> list[str]:
    """The lines of one set: ours and the baselines, over everything and by category."""
    found = {name: figures(rows) for name, rows in measured.items()}
    ours = measured[OURS]
    lines = ["".join([" " * _NAME, *(column.ljust(_CELL) for column in COLUMNS)]).rstrip()]
    for category in found[OURS]:
        count = len(ours) if category == ALL else sum(row.category == category for row in ours)
        lines.append(f"{category or 'without category'}, {count:,} questions")
        lines += [_line(name, [_cell(one) for one in found[name][category]]) for name in measured]
        if category == ALL:
            others = [(name, gained(ours, rows)) for name, rows in measured.items() if name != OURS]
            lines += [_line(f"  over {name}", [_cell(one, "+") for one in gains]) for name, gains in others]
            if bars:
                lines.append(_line("  bar", _verdicts(found[OURS][ALL], bars)))
    return lines


def _verdicts(found: Sequence[Interval], bars: Mapping[str, float]) -> list[str]:
    """A cell for each column: its bar and whether it is reached."""
    return [
        f"{100 * bars[column]:.1f} {'ok' if one.mean >= bars[column] else 'below'}" if column in bars else ""
        for column, one in zip(COLUMNS, found, strict=True)
    ]


def _line(name: str, cells: Sequence[str]) -> str:
    return "".join([f"  {name}".ljust(_NAME), *(cell.ljust(_CELL) for cell in cells)]).rstrip()


def _cell(one: Interval, sign: str = "") -> str:
    """Mean and interval in points."""
    mean, low, high = (100 * value for value in one)
    return f"{mean:{sign}.1f} ({low:.1f}..{high:.1f})"


async def _of_service(given: argparse.Namespace, talks: Sequence[Conversation]) -> tuple[list[Row], Notes]:
    door_of: Callable[[Config], AbstractAsyncContextManager[Door]] = tools_door if given.tools else service_door
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-") as folder:
        config = Config(
            database=str(Path(folder) / "memory.db"),
            ephemeral=given.store == "ephemeral",
            timezone="UTC",
            search=SearchConfig(min_score=0),
            embedding=EmbeddingConfig(provider=given.embedding),
        )
        async with door_of(config) as door:
            return await measure(door, talks)


def _run(given: argparse.Namespace, one: EvalSet, baselines: Sequence[Baseline]) -> None:
    talks = [distinct(talk) for talk in sampled(one, given.limit_questions).conversations]
    if not any(talk.questions for talk in talks):
        print(f"\n{one.name}: no questions")
        return
    begun = perf_counter()
    ours, notes = asyncio.run(_of_service(given, talks))
    taken = perf_counter() - begun
    measured = {OURS: ours} | {baseline.name: compare(baseline, talks) for baseline in baselines}
    door = "tools" if given.tools else "service"
    print(
        f"\n{one.name}: {notes.memories:,} memories of {len(talks)} users, {len(ours):,} questions; through the {door} "
        f"on {given.store}, served by {' + '.join(sorted(notes.modes)) or 'nothing'}, {taken:.0f} s"
    )
    bars = {} if given.limit_questions else BARS.get(one.name, {})
    print("\n".join(table(measured, bars)))
    for line in notes.refused[:5]:
        print(f"  refused: {line}")
    if len(notes.refused) > 5:
        print(f"  refused in all: {len(notes.refused)}")
    if given.json:
        _record(given, one.name, measured, notes)


def _record(given: argparse.Namespace, name: str, measured: Mapping[str, Sequence[Row]], notes: Notes) -> None:
    ours = measured[OURS]
    report = {
        "set": name,
        "through": "tools" if given.tools else "service",
        "store": given.store,
        "modes": sorted(notes.modes),
        "memories": notes.memories,
        "questions": len(ours),
        "limited": given.limit_questions is not None,
        "figures": {system: _rounded(figures(rows)) for system, rows in measured.items()},
        "gained": {system: _columns(gained(ours, rows)) for system, rows in measured.items() if system != OURS},
    }
    record(given.json, "retrieval", report)


def _rounded(found: Mapping[str, Sequence[Interval]]) -> dict[str, dict[str, list[float]]]:
    return {category: _columns(row) for category, row in found.items()}


def _columns(row: Sequence[Interval]) -> dict[str, list[float]]:
    """Mean, low and high by the name of the column."""
    return {column: [round(value, 5) for value in one] for column, one in zip(COLUMNS, row, strict=True)}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="labelled sets; default: all that stand beside the project")
    parser.add_argument("--tools", action="store_true", help="through the MCP tools instead of the service")
    parser.add_argument("--store", choices=("sqlite", "ephemeral"), default="sqlite", help="where memories are kept")
    parser.add_argument("--embedding", choices=("builtin", "none"), default="builtin", help="none: the words alone")
    parser.add_argument("--limit-questions", type=int, metavar="N", help="N questions of each set, always the same")
    parser.add_argument("--no-compare", action="store_true", help="without the other searches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the figures of each set to FILE, a line each")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    given = _arguments(argv)
    files: list[Path] = given.files or sorted(EVAL.glob("*.json.gz"))
    if not files:
        print("No labelled sets here; name some: FILE.json.gz", file=sys.stderr)
        return
    baselines, missing = ([], []) if given.no_compare else available()
    for line in missing:
        print(line, file=sys.stderr)
    for file in files:
        _run(given, read_set(file), baselines)


if __name__ == "__main__":
    main()
