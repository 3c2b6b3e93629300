"""What the benchmarks share: texts, databases, a client on raw pipes, and samples of time."""

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, Self, cast

from pydantic import BaseModel

from mcp_memory import __version__, text
from mcp_memory.app import open_store
from mcp_memory.clock import ID_ALPHABET, ID_LENGTH, SystemClock, iso
from mcp_memory.config import Config
from mcp_memory.embed.base import packed
from mcp_memory.embed.builtin import BuiltinEmbedder
from mcp_memory.models import Change, Memory, Step, fingerprint
from mcp_memory.store.base import Store

ROOT: Final = Path(__file__).parents[1]
EVAL: Final = ROOT.parent / "shared" / "eval"
"""Labelled conversations, where somebody has put them beside the project."""

_SEED: Final = 7
_INITIALIZE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmarks", "version": "1"},
}


class EvalMemory(BaseModel):
    id: str
    text: str


class EvalQuestion(BaseModel):
    text: str
    category: str = ""
    evidence: list[str]


class Conversation(BaseModel):
    id: str
    memories: list[EvalMemory]
    questions: list[EvalQuestion]


class EvalSet(BaseModel):
    name: str
    conversations: list[Conversation]


def read_set(file: Path) -> EvalSet:
    """The labelled conversations of one file."""
    return EvalSet.model_validate_json(gzip.decompress(file.read_bytes()))


def distinct(talk: Conversation) -> Conversation:
    """`talk` with every text once, under the id of its first memory, and only questions that have evidence."""
    first: dict[bytes, str] = {}
    same = {memory.id: first.setdefault(fingerprint(text.clean(memory.text)), memory.id) for memory in talk.memories}
    questions = [
        question.model_copy(update={"evidence": list(dict.fromkeys(same.get(one, one) for one in question.evidence))})
        for question in talk.questions
        if question.evidence
    ]
    kept = set(first.values())
    memories = [memory for memory in talk.memories if memory.id in kept]
    return Conversation(id=talk.id, memories=memories, questions=questions)


def sampled(one: EvalSet, count: int | None) -> EvalSet:
    """`one` with all its memories and `count` of the questions that have evidence, always the same; None: all."""
    places = [
        (talk, at)
        for talk, held in enumerate(one.conversations)
        for at, question in enumerate(held.questions)
        if question.evidence
    ]
    if count is None or count >= len(places):
        return one
    chosen = sorted(random.Random(_SEED).sample(places, count))
    talks = [
        held.model_copy(update={"questions": [held.questions[at] for number, at in chosen if number == talk]})
        for talk, held in enumerate(one.conversations)
    ]
    return one.model_copy(update={"conversations": talks})


def record(file: Path, benchmark: str, figures: Mapping[str, object]) -> None:
    """Append one run to a history: a JSON object a line, with its date (UTC) and the version of the package."""
    run = {"benchmark": benchmark, "date": iso(SystemClock().now()), "version": __version__, **figures}
    with file.open("a", encoding="utf-8") as history:
        history.write(json.dumps(run, ensure_ascii=False) + "\n")


@lru_cache(maxsize=1)
def corpus() -> tuple[list[str], list[str]]:
    """Texts to remember and questions to ask, in an order that is always the same."""
    sets = [read_set(file) for file in sorted(EVAL.glob("*.json.gz"))]
    chance = random.Random(_SEED)
    if sets:
        talks = [talk for one in sets for talk in one.conversations]
        remembered = [memory.text for talk in talks for memory in talk.memories]
        asked = [question.text for talk in talks for question in talk.questions]
    else:
        remembered = [" ".join(_words(chance, 8, 30)) for _ in range(5_000)]
        asked = [" ".join(_words(chance, 3, 9)) for _ in range(500)]
    chance.shuffle(remembered)
    chance.shuffle(asked)
    return remembered, asked


def texts(count: int, seed: int = _SEED) -> list[str]:
    """`count` different texts; when the corpus is used up, the first half of one and the second half of another."""
    originals, _ = corpus()
    chance = random.Random(seed)
    chosen: dict[bytes, str] = {}
    shuffled = chance.sample(originals, len(originals))
    while len(chosen) < count:
        one = shuffled[len(chosen)] if len(chosen) < len(shuffled) else _spliced(chance, originals)
        mark = fingerprint(one)
        if mark in chosen:
            one = _spliced(chance, originals)
            mark = fingerprint(one)
        chosen[mark] = one
    return list(chosen.values())


def queries(count: int) -> list[str]:
    """`count` questions of the corpus."""
    return corpus()[1][:count]


def _spliced(chance: random.Random, originals: Sequence[str]) -> str:
    one, other = chance.choice(originals), chance.choice(originals)
    if " " not in one or " " not in other:
        return one[: len(one) // 2] + other[len(other) // 2 :]
    first, second = one.split(), other.split()
    return " ".join(first[: len(first) // 2] + second[len(second) // 2 :])


def _words(chance: random.Random, least: int, most: int) -> list[str]:
    """Words that are as common as those of real text are without its stop words."""
    syllables = (
        "ba",
        "cor",
        "den",
        "fi",
        "gul",
        "har",
        "ji",
        "kem",
        "lo",
        "mar",
        "nes",
        "pra",
        "so",
        "tun",
        "vel",
        "zi",
    )
    words = ["".join(parts) for parts in itertools.product(syllables, repeat=3)]
    weights = [1 / (rank + 20) for rank in range(len(words))]
    return chance.choices(words, weights, k=chance.randint(least, most))


@asynccontextmanager
async def opened(database: Path) -> AsyncGenerator[Store]:
    """The store in `database`, created where it is missing."""
    async with open_store(Config(database=str(database)), SystemClock()) as store:
        yield store


async def fill(store: Store, user: str, contents: Sequence[str]) -> None:
    """Add `contents` as memories of `user`, in one transaction."""
    now = SystemClock().now()
    chance = random.Random(f"{user} {now}")
    ids = ("".join(chance.choices(ID_ALPHABET, k=ID_LENGTH)) for _ in itertools.count())
    vectors = packed(await BuiltinEmbedder().embed(contents))
    steps = [
        Step(
            operation="add",
            memory=Memory(id=next(ids), content=content, created_at=now, updated_at=now, worded_at=now),
            vector=vector,
        )
        for content, vector in zip(contents, vectors, strict=True)
    ]
    async with store.transaction(user) as turn:
        await turn.record(Change(id=next(ids), at=now, tool="benchmark", summary="filled"), steps)


def environment() -> dict[str, str]:
    """The environment for servers: without settings of a person who uses mcp-memory on this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}


class PipeClient:
    """A server process and a legacy client on its bare pipes: one line out, one line in, nothing in between."""

    def __init__(self, *module: str, variables: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment() | dict(variables or {}),
        )
        self._numbers = itertools.count()
        self.request("initialize", _INITIALIZE)

    def __enter__(self) -> Self:
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request."""
        number = next(self._numbers)
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == number:
                if "result" not in message:
                    raise RuntimeError(f"{method}: {message}")
                return cast("dict[str, Any]", message["result"])
        raise RuntimeError(f"{method}: the server ended with code {self._process.wait()}")

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """The result of one tool call that must succeed."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            raise RuntimeError(f"{tool}: {result}")
        return result

    def close(self) -> None:
        """End the server by closing its input, as clients do."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
        self._process.stdin.flush()


def resident_mb(pid: int) -> float | None:
    """What the process holds in memory, in MB of 2**20 bytes; None where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Samples:
    """Times of one thing, in milliseconds, by what was asked (`slot`)."""

    def __init__(self) -> None:
        self._by_slot: dict[int, list[float]] = defaultdict(list)

    def add(self, slot: int, seconds: float) -> None:
        self._by_slot[slot].append(seconds * 1000)

    @property
    def median(self) -> float:
        return median(time for times in self._by_slot.values() for time in times)

    @property
    def least(self) -> float:
        """The best time of each slot, and of those the median: the cheapest question says nothing about the others."""
        return median(min(times) for times in self._by_slot.values())


def interleaved(slots: int, rounds: int) -> Iterator[tuple[int, int]]:
    """Every slot in every round: a burst of noise hits some rounds of many slots rather than all of one."""
    for round_ in range(rounds):
        for slot in range(slots):
            yield round_, slot


def measure(slots: int, rounds: int, things: Mapping[str, Callable[[int, int], object]]) -> dict[str, Samples]:
    """Time every thing for every slot in every round, one after the other, in an order that changes."""
    chance = random.Random(_SEED)
    samples = {name: Samples() for name in things}
    for round_, slot in interleaved(slots, rounds):
        for name in chance.sample(list(things), len(things)):
            start = perf_counter()
            things[name](slot, round_)
            samples[name].add(slot, perf_counter() - start)
    return samples
