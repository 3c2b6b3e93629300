"""An invented person's memories over three years, always the same: what the browser is looked at and measured with."""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from mcp_memory.clock import ID_ALPHABET, ID_LENGTH
from mcp_memory.embed.base import packed
from mcp_memory.embed.builtin import BuiltinEmbedder
from mcp_memory.models import Change, Deed, Memory, Step
from mcp_memory.store.base import Store

_SEED: Final = 11
_DAY: Final = 86_400_000_000
_DAYS: Final = 1_000
_AT_ONCE: Final = 4
_DELETED: Final = 50
_CORRECTED: Final = 100
_CLIENTS: Final = ("claude-desktop", "claude-code", "cursor", "vscode")
_AGENTS: Final = (None, None, "planner", "coder")

_FOODS: Final = "ramen, sourdough, oat milk, green curry, dark chocolate, pumpkin soup, espresso, kimchi, figs".split(
    ", "
)
_CITIES: Final = "Lisbon, Oslo, Kyoto, Rome, Montréal, Leipzig, Cape Town, Seoul, Porto, Ghent, Split, Bergen".split(
    ", "
)
_TOOLS: Final = "pytest, ruff, uv, Docker, SQLite, PostgreSQL, Terraform, FastAPI, Svelte, Kubernetes, Grafana".split(
    ", "
)
_BOOKS: Final = "The Dispossessed, Middlemarch, Piranesi, Dune, Solaris, Austerlitz, Beloved, Momo".split(", ")
_SPORTS: Final = "bouldering, swimming, trail running, badminton, rowing, yoga, cycling, chess".split(", ")
_MONTHS: Final = "January February March April May June July August September October November December".split()
_KINDS: Final = (
    (("food",), "Likes {food} more than {other_food}, best in {month}"),
    (("food", "health"), "Wants less {food} after {number} o'clock since {month}"),
    (("travel",), "Is in {city} from {number} to {later} {month}, flying with a window seat"),
    (("travel", "plans"), "Plans a trip to {city} in {month} with {number} days in {other_city}"),
    (("work", "tools"), "Uses {tool} with {other_tool} in project {number}-{month}"),
    (("work",), "Decided in {month} to replace {tool} by {other_tool} for service {number}"),
    (("books",), "Finished {book} on {number} {month}, and wants something like {other_book} next"),
    (("sport",), "Goes {sport} on {number} {month} and afterwards meets friends in {city}"),
    (("home",), "Paid {number}{later} euros for the flat in {city} in {month}"),
    (("family",), "Visits the grandparents in {city} on {number} {month} and brings {food}"),
)
_SPECIAL: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("Lives in Leipzig, in the south near the river", {"key": "home_city", "topics": ("home",), "pinned": True}),
    ("Vegetarian, and allergic to hazelnuts", {"key": "diet", "topics": ("food", "health"), "pinned": True}),
    ("Prefers short answers with the reasoning at the end", {"topics": ("preferences",), "pinned": True}),
    ("喜欢在周末去山里徒步，不喜欢拥挤的地方", {"topics": ("旅行", "sport")}),
    ("Mag Zugfahren lieber als Fliegen, wenn es unter acht Stunden dauert", {"topics": ("travel",)}),
    ("يفضل القهوة بدون سكر في الصباح", {"topics": ("food",)}),
    ("The passport is valid until the move to Oslo is settled", {"topics": ("travel",), "expires_at": _DAYS + 21}),
)


class _Event(NamedTuple):
    """What happens at a moment: memories are added, or the first of them is changed or deleted."""

    at: int
    deed: Deed
    memories: Sequence[Memory]


async def settle(store: Store, user: str, count: int, until: int) -> None:
    """Give `user` `count` memories up to the moment `until` (microseconds), some corrected, and some more deleted."""
    chance = random.Random(_SEED)
    memories = list(_memories(chance, count + _DELETED, until - _DAYS * _DAY))
    vectors = dict(
        zip(
            (one.id for one in memories),
            packed(await BuiltinEmbedder().embed([one.content for one in memories])),
            strict=True,
        )
    )
    stored: dict[str, Memory] = {}
    async with store.transaction(user) as turn:
        for event in sorted(_events(chance, memories, until), key=lambda event: event.at):
            if event.deed == "add":
                steps = [Step(operation="add", memory=one, vector=vectors[one.id]) for one in event.memories]
            else:
                steps = [_altered(stored[event.memories[0].id], event)]
            written = await turn.record(_change(chance, event), steps)
            stored |= {one.id: one for one in written}


def _events(chance: random.Random, memories: Sequence[Memory], until: int) -> Iterator[_Event]:
    for at in range(0, len(memories), _AT_ONCE):
        part = memories[at : at + _AT_ONCE]
        yield _Event(part[-1].created_at, "add", part)
    ordinary = [one for one in memories if one.topics and not one.pinned and one.content.isascii()]
    for number, one in enumerate(chance.sample(ordinary, _DELETED + _CORRECTED)):
        at = min(one.created_at + chance.randrange(3, 90) * _DAY, until - chance.randrange(_DAY))
        yield _Event(at, "delete" if number < _DELETED else "update", [one])


def _altered(memory: Memory, event: _Event) -> Step:
    later = memory.replace(version=2, updated_at=event.at)
    if event.deed == "delete":
        return Step(operation="delete", memory=later)
    content = memory.content.replace(" in ", " around ") + ", as far as is known"
    return Step(
        operation="update",
        memory=later.replace(content=content, worded_at=event.at),
        supersedes=memory,
    )


def _memories(chance: random.Random, count: int, begin: int) -> Iterator[Memory]:
    """Distinct texts, oldest first; the special ones are among the last."""
    moments = sorted(int(chance.triangular(0, _DAYS * _DAY, 0.8 * _DAYS * _DAY)) for _ in range(count))
    seen: set[str] = set()
    for number in range(count):
        special = number - (count - 3 * len(_SPECIAL))
        if special >= 0 and special % 3 == 0:
            content, fields = _SPECIAL[special // 3]
        else:
            topics, content = _told(chance, seen)
            fields = dict[str, Any](topics=topics)
        at = begin + moments[min(number - number % _AT_ONCE + _AT_ONCE, count) - 1]
        if "expires_at" in fields:
            fields = fields | {"expires_at": begin + fields["expires_at"] * _DAY}
        yield Memory(
            id=_id(chance),
            content=content,
            agent=chance.choice(_AGENTS),
            created_at=at,
            updated_at=at,
            worded_at=at,
            **fields,
        )


def _told(chance: random.Random, seen: set[str]) -> tuple[tuple[str, ...], str]:
    while True:
        food, other_food = chance.sample(_FOODS, 2)
        city, other_city = chance.sample(_CITIES, 2)
        tool, other_tool = chance.sample(_TOOLS, 2)
        book, other_book = chance.sample(_BOOKS, 2)
        number = chance.randrange(1, 20)
        topics, form = chance.choice(_KINDS)
        text = form.format(
            food=food,
            other_food=other_food,
            city=city,
            other_city=other_city,
            tool=tool,
            other_tool=other_tool,
            book=book,
            other_book=other_book,
            sport=chance.choice(_SPORTS),
            month=chance.choice(_MONTHS),
            number=number,
            later=number + chance.randrange(1, 10),
        )
        if text not in seen:
            seen.add(text)
            return topics, text


def _change(chance: random.Random, event: _Event) -> Change:
    tool, client = f"{event.deed}_memory", chance.choice(_CLIENTS)
    return Change(id=_id(chance), at=event.at, tool=tool, client=client, summary="settled")


def _id(chance: random.Random) -> str:
    return "".join(chance.choices(ID_ALPHABET, k=ID_LENGTH))
