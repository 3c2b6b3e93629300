"""Text that is planted in a store and looked for after a forgetting: strings, and single words of many scripts."""

import random
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.testing import FakeClock
from mcp_memory.text import Analyzer
from tests import fts5

INDEXES: Final = ("memory_index", "past_index")
_SCRIPTS: Final = (
    "bcdfghklmnprstvw",
    "бвгджзклмнпрст",
    "αβγδεζηθικλμνξ",
    "אבגדהוזחטיכל",
    "بتثجحخدذرزسش",
    "北京大学東西南海山川",
    "あいうえおかきくけこ",
    "กขคงจชซญดต",
    "कखगघचछजझटठ",
    "가나다라마바사아",
)


class Planted(NamedTuple):
    """What stands in the file: `strings` that are long enough to be told from chance, and single `words`."""

    strings: Sequence[str]
    words: Sequence[str]


def plant(seed: int, strings: int = 500, words: int = 100) -> Planted:
    """So many strings, of several words each, and so many words, short and long, of all scripts in turn."""
    chance = random.Random(seed)
    single = [_word(chance, number, 3 if number % 3 == 0 else chance.randint(4, 24)) for number in range(words)]
    whole = [" ".join(_word(chance, number, chance.randint(5, 9)) for _ in range(4)) for number in range(strings)]
    return Planted([f"{text} #{seed}{number:04}" for number, text in enumerate(whole)], single)


def _word(chance: random.Random, number: int, length: int) -> str:
    return "".join(chance.choices(_SCRIPTS[number % len(_SCRIPTS)], k=length))


async def fill(database: Path, user: str, planted: Planted) -> None:
    """Write what is planted into every field that a memory has, some of it reworded and some deleted since."""
    waiting = list(planted.strings)
    async with open_app(Config(database=str(database)), FakeClock()) as app:
        service = await app.service()
        for number, word in enumerate(planted.words):
            parts = [waiting.pop() for _ in range(5) if waiting]
            content, key, topic, note, agent = (*parts, *("plain",) * 5)[:5]
            fields = Fields(content=f"{content} {word}", topics=[topic[:40]], key=key[:60], metadata={"note": note})
            origin = Origin(tool="test", client="planter", agent=agent, session_id=f"{agent} s", source=f"{agent} x")
            added = await service.add(user, fields, origin)
            if number % 3 == 0:
                await service.update(user, added.memory.id, Fields(content=f"Now {content} otherwise"), origin)
            if number % 5 == 0:
                await service.delete(user, [added.memory.id], origin)
            if number % 10 == 0:
                await service.undo(user, None, origin)


def backed_up(database: Path, folder: Path, name: str) -> Path:
    """A copy of the database as a backup makes it."""
    folder.mkdir(exist_ok=True)
    copy = folder / f"{database.stem}-{name}.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def in_bytes(folder: Path, strings: Iterable[str]) -> set[str]:
    """Which of the strings stand in any byte of any file below `folder`; this process must not have one open."""
    content = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {one for one in strings if any(one.encode() in held for held in content)}


def in_indexes(database: Path, words: Iterable[str], number: int) -> set[str]:
    """Which of the words stand in any segment of either index, as it has them: marked with a user's number."""
    held, begun = segments(database)
    analyzer = Analyzer()

    def stands(term: str) -> bool:
        return term in held or any(start.startswith(term) for start in begun)

    return {word for word in words if any(stands(f"{number}x{term}") for term in analyzer.terms(word))}


def of_user(database: Path, number: int) -> set[str]:
    """Every term with that user's number in any segment of either index."""
    held, begun = segments(database)
    return {term for term in held | begun if term.startswith(f"{number}x")}


def segments(database: Path) -> tuple[set[str], set[str]]:
    """The terms in the segments of both indexes, and by what their pages are found."""
    with closing(sqlite3.connect(database)) as connection:
        held = {term for index in INDEXES for term in fts5.terms(connection, index)}
        return held, {start for index in INDEXES for start in fts5.starts(connection, index)}
