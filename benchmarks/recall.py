"""How often a search finds what answers a question: `python -m benchmarks.recall --help`."""

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any, Final

from mcp import Client

from benchmarks.common import EVAL, Conversation, EvalSet, read_set
from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.server import build_server

DEPTHS: Final = (1, 5, 10)
BARS: Final = {"locomo": 0.55, "madial_zh": 0.40}
"""The least recall@5 that the project promises itself."""


@dataclass(frozen=True)
class Door:
    """The two things that a measurement needs, through the service or through the tools."""

    add: Callable[[str, str], Awaitable[str | None]]
    """User and text to the memory's id; None if the text is refused."""

    search: Callable[[str, str], Awaitable[list[str] | None]]
    """User and question to ids, best first; None if the question is refused."""


@dataclass
class Result:
    """The recall of every question by category, and what was refused."""

    recalls: dict[str, list[tuple[float, ...]]] = field(default_factory=lambda: defaultdict(list))
    memories: int = 0
    merged: int = 0
    refused: list[str] = field(default_factory=list[str])

    def rows(self) -> Iterator[tuple[str, int, tuple[float, ...]]]:
        """Name, number of questions and recall at each depth: everything first, then each category."""
        yield "all", *_mean([recall for recalls in self.recalls.values() for recall in recalls])
        if len(self.recalls) > 1:
            for category in sorted(self.recalls):
                yield category, *_mean(self.recalls[category])


@asynccontextmanager
async def service_door(config: Config) -> AsyncGenerator[Door]:
    """Straight to the service."""
    origin = Origin(tool="benchmark")
    async with open_app(config) as app:
        service = await app.service()

        async def add(user: str, content: str) -> str | None:
            try:
                return (await service.add(user, Fields(content=content), origin)).memory.id
            except InvalidInput:
                return None

        async def search(user: str, query: str) -> list[str] | None:
            try:
                found = await service.search(user, query, service.scope(), limit=max(DEPTHS))
            except InvalidInput:
                return None
            return [hit.memory.id for hit in found.hits]

        yield Door(add, search)


@asynccontextmanager
async def tools_door(config: Config) -> AsyncGenerator[Door]:
    """Through the tools of a server in this process, as a client sees them."""
    async with Client(build_server(config.model_copy(update={"identity": "argument"}))) as client:

        async def call(tool: str, **arguments: object) -> dict[str, Any] | None:
            result = await client.call_tool(tool, arguments)
            return None if result.is_error else result.structured_content

        async def add(user: str, content: str) -> str | None:
            reply = await call("add_memory", user_id=user, content=content)
            return reply["memory"]["id"] if reply else None

        async def search(user: str, query: str) -> list[str] | None:
            reply = await call("search_memories", user_id=user, query=query, limit=max(DEPTHS))
            return [hit["id"] for hit in reply["hits"]] if reply else None

        yield Door(add, search)


async def measure(door: Door, one: EvalSet) -> Result:
    """The recall of one set: every conversation is a user."""
    result = Result()
    for talk in one.conversations:
        ids = await _remember(door, talk, result)
        for question in talk.questions:
            evidence = set(question.evidence)
            if not evidence:
                continue
            found = await door.search(talk.id, question.text)
            if found is None:
                result.refused.append(f"question {question.text[:60]!r}")
            ranks = {memory_id: rank for rank, memory_id in enumerate(found or [])}
            places = [ranks.get(ids.get(memory, ""), max(DEPTHS)) for memory in evidence]
            recall = tuple(sum(place < depth for place in places) / len(places) for depth in DEPTHS)
            result.recalls[question.category].append(recall)
    return result


async def _remember(door: Door, talk: Conversation, result: Result) -> dict[str, str]:
    """Our ids by the set's. A text that is there already gives the id of its first occurrence."""
    ids: dict[str, str] = {}
    for memory in talk.memories:
        memory_id = await door.add(talk.id, memory.text)
        if memory_id is None:
            result.refused.append(f"memory {memory.id}")
        else:
            ids[memory.id] = memory_id
    result.memories += len(set(ids.values()))
    result.merged += len(ids) - len(set(ids.values()))
    return ids


def _mean(recalls: list[tuple[float, ...]]) -> tuple[int, tuple[float, ...]]:
    return len(recalls), tuple(fmean(column) for column in zip(*recalls, strict=True))


def _report(file: Path, result: Result, seconds: float) -> None:
    name = file.name.removesuffix(".json.gz")
    notes = f"{result.memories:,} memories, {result.merged} of them given twice, {seconds:.0f} s"
    print(f"\n{name} ({notes})")
    print("".join(["  ", "category".ljust(24), "questions".rjust(9), *(f"R@{depth}".rjust(8) for depth in DEPTHS)]))
    for category, count, recalls in result.rows():
        cells = [f"{100 * recall:8.1f}" for recall in recalls]
        bar = f"   bar R@5 {100 * BARS[name]:.0f}" if category == "all" and name in BARS else ""
        verdict = f": {'ok' if recalls[DEPTHS.index(5)] >= BARS[name] else 'below'}" if bar else ""
        print("".join(["  ", category.ljust(24), f"{count:9,}", *cells, bar, verdict]))
    for line in result.refused[:5]:
        print(f"  refused: {line}")
    if len(result.refused) > 5:
        print(f"  refused in all: {len(result.refused)}")


async def _run(given: argparse.Namespace, files: list[Path]) -> None:
    door_of = tools_door if given.tools else service_door
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-") as folder:
        for number, file in enumerate(files):
            config = Config(database=str(Path(folder) / f"{number}.db"), ephemeral=given.ephemeral)
            begun = perf_counter()
            async with door_of(config) as door:
                result = await measure(door, read_set(file))
            _report(file, result, perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="labelled sets; default: all that stand beside the project")
    parser.add_argument("--tools", action="store_true", help="through the MCP tools instead of the service")
    parser.add_argument("--ephemeral", action="store_true", help="on the store in memory instead of SQLite (slow)")
    given = parser.parse_args()
    files: list[Path] = given.files or sorted(EVAL.glob("*.json.gz"))
    if not files:
        print("No labelled sets here; name some: FILE.json.gz", file=sys.stderr)
        return
    asyncio.run(_run(given, files))


if __name__ == "__main__":
    main()
