"""How often a restated memory is shown what it restates when it is added: `python -m benchmarks.neighbours --help`."""

import argparse
import asyncio
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.common import EVAL, EvalSet, distinct, fill, opened, read_set
from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import SecretsConfig
from mcp_memory.service import MemoryService

BY: Final = Origin(tool="benchmark")

Restate = Callable[[list[str], random.Random], str]


def _shuffled(words: list[str], _: random.Random) -> str:
    half = len(words) // 2
    return " ".join(words[half:] + words[:half])


KINDS: Final[Mapping[str, Restate]] = {
    "with a beginning": lambda words, _: f"As of last month, {' '.join(words)}",
    "a fifth of its words left out": lambda words, chance: " ".join(one for one in words if chance.random() > 0.2),
    "halves exchanged": _shuffled,
    "other numbers": lambda words, _: re.sub(r"\d+", lambda found: str(int(found[0]) + 1), " ".join(words)) + " now",
    "another end": lambda words, _: " ".join(words[: max(3, len(words) * 3 // 5)]) + " since moving to Berlin",
    "its four longest words": lambda words, _: " ".join(sorted(words, key=len, reverse=True)[:4]),
}


async def _found(service: MemoryService, user: str, text: str, restated: str) -> bool:
    """Whether `text` is among the neighbours of `restated`, which is taken back again."""
    added = await service.add(user, Fields(content=restated[:4_000]), BY)
    if added.change_id:
        await service.undo(user, added.change_id, BY)
    return added.outcome == "exists" or text in {hit.memory.content for hit in added.neighbours}


async def measure(one: EvalSet, each: int) -> tuple[Counter[str], int]:
    """For each kind how often the restated memory was found, and how often it was asked for."""
    chance, found, asked = random.Random(1), Counter[str](), 0
    talks = {f"user {number}": distinct(talk) for number, talk in enumerate(one.conversations[:10])}
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "memory.db"
        async with opened(database) as store:
            for user, talk in talks.items():
                await fill(store, user, [memory.text for memory in talk.memories])
        config = Config(database=str(database), secrets=SecretsConfig(action="allow"))
        async with open_app(config) as app:
            service = await app.service()
            for user, talk in talks.items():
                for memory in chance.sample(talk.memories, min(each, len(talk.memories))):
                    asked += 1
                    for kind, restate in KINDS.items():
                        restated = restate(memory.text.split(), chance) or memory.text
                        found[kind] += await _found(service, user, memory.text, restated)
    return found, asked


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="labelled sets; default: all that stand beside the project")
    parser.add_argument("--each", type=int, default=25, help="memories of each conversation that are restated (25)")
    given = parser.parse_args()
    files = given.files or sorted(EVAL.glob("*.json.gz"))
    if not files:
        sys.exit("no labelled sets are there; name some")
    for file in files:
        found, asked = asyncio.run(measure(read_set(file), given.each))
        print(f"{file.name.removesuffix('.json.gz')}: {asked} memories restated; shown among the neighbours:")
        for kind in KINDS:
            print(f"  {kind:32} {found[kind] / asked:.3f}")


if __name__ == "__main__":
    main()
