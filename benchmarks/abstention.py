"""What a cut-off on the score costs and saves: `python -m benchmarks.abstention`.

Every question is asked of the user whose memories answer it, and of another user of the same set, who knows nothing of
it. Names give the second kind away, so all is measured once more without them.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.baselines import STOP_WORDS
from benchmarks.common import EVAL, Conversation, EvalSet, distinct, read_set, record, sampled
from benchmarks.measures import Asked, Point, answered, curve, found_at, highest
from benchmarks.retrieval import Door, Notes, Reply, remember, service_door
from mcp_memory.config import Config
from mcp_memory.sections import SearchConfig

LOSSES: Final = (0.01, 0.02, 0.03, 0.05)
DEFAULT_LOSS: Final = 0.01
"""The most recall@5 that the shipped cut-off may lose."""

BARS: Final[Mapping[tuple[str, bool], Mapping[float, float]]] = {("locomo_obs", True): {0.02: 0.20}}
"""By set and whether it has its names: the largest share of crossed questions that a loss may leave answered."""

_START: Final = re.compile(r"(?:\s*(?:\[[^\]]*\]|【[^】]*】))*\s*([A-ZÀ-Þ][a-zà-ÿ]+)(?![A-Za-zÀ-ÿ])")
"""The first word of a memory after its headings, where it is capitalised."""

_NOBODY: Final = STOP_WORDS | {"user", "users"}
_LEAST_SHARE: Final = 0.15
_SPEAKERS: Final = 2


class Variant(NamedTuple):
    """A set as it is (`removed` is None), or without the names in `removed`."""

    name: str
    removed: tuple[str, ...] | None
    talks: list[Conversation]

    @property
    def label(self) -> str:
        return f"{self.name} " + ("with names" if self.removed is None else f"without {', '.join(self.removed)}")


class Answers(NamedTuple):
    """What came back for the own questions and for the crossed ones."""

    own: list[Asked]
    crossed: list[Asked]


def names(talk: Conversation) -> list[str]:
    """Who a conversation is about: at most two capitalised words that begin many of its memories."""
    starts = (_START.match(memory.text) for memory in talk.memories)
    found = Counter(start[1] for start in starts if start and start[1].lower() not in _NOBODY)
    return [name for name, count in found.most_common(_SPEAKERS) if count >= _LEAST_SHARE * len(talk.memories)]


def without(text: str, removed: Sequence[str]) -> str:
    """`text` without these names, their possessive endings and the colon of a speaker."""
    either = "|".join(map(re.escape, removed))
    return re.sub(rf"(?<![A-Za-zÀ-ÿ])(?:{either})(?![A-Za-zÀ-ÿ])(?:['’]s\b)?:?[ \t]*", "", text)


def variants(one: EvalSet) -> Iterator[Variant]:
    """The set as it is, and without the names of everybody in it, where there are any."""
    yield Variant(one.name, None, [distinct(talk) for talk in one.conversations])
    removed = tuple(dict.fromkeys(name for talk in one.conversations for name in names(talk)))
    if removed:
        yield Variant(one.name, removed, [distinct(_stripped(talk, removed)) for talk in one.conversations])


def _stripped(talk: Conversation, removed: Sequence[str]) -> Conversation:
    return Conversation(
        id=talk.id,
        memories=[one.model_copy(update={"text": without(one.text, removed)}) for one in talk.memories],
        questions=[one.model_copy(update={"text": without(one.text, removed)}) for one in talk.questions],
    )


async def answers(talks: Sequence[Conversation], depth: int) -> tuple[Answers, Answers, Notes]:
    """What searches for `depth` hits answer without a cut-off, and what with the settings as shipped."""
    notes = Notes()
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-") as folder:
        shipped = Config(database=str(Path(folder) / "memory.db"), timezone="UTC")
        everything = shipped.replace(search=SearchConfig(min_score=0))
        ids: dict[str, str] = {}
        async with service_door(everything, depth) as door:
            for talk in talks:
                ids |= await remember(door, talk, notes)
            whole = await _ask(door, talks, ids, notes)
        async with service_door(shipped, depth) as door:
            return whole, await _ask(door, talks, ids, notes), notes


async def _ask(door: Door, talks: Sequence[Conversation], ids: Mapping[str, str], notes: Notes) -> Answers:
    """Every question of its own user, and every question of the next user's."""
    found = Answers([], [])
    for talk, other in zip(talks, [*talks[1:], talks[0]], strict=True):
        for question in talk.questions:
            reply = await door.search(talk.id, question.text)
            notes.serve(reply.modes)
            found.own.append(_asked(reply, ids, question.evidence))
        for question in other.questions:
            found.crossed.append(_asked(await door.search(talk.id, question.text), ids, ()))
    return found


def _asked(reply: Reply, ids: Mapping[str, str], evidence: Sequence[str]) -> Asked:
    return Asked(tuple((score, ids.get(memory_id) in evidence) for memory_id, score in reply.hits), len(evidence))


def table(points: Sequence[Point], shipped: Point, bars: Mapping[float, float]) -> list[str]:
    """The lines of one variant: the highest cut-off for each loss, and the shipped one as it really serves."""
    lines = ["  recall@5 lost      cut-off   crossed questions answered"]
    for loss in LOSSES:
        point = highest(points, loss)
        bar = f"   bar {bars[loss]:.0%} {_verdict(point.answered, bars[loss])}" if loss in bars else ""
        lines.append(f"  at most {loss:.3f}      {point.cutoff:.3f}   {point.answered:6.1%}{bar}")
    cost = f"{shipped.lost:.3f} {_verdict(shipped.lost, DEFAULT_LOSS)}"
    lines.append(f"  shipped {cost.ljust(11)}{shipped.cutoff:.3f}   {shipped.answered:6.1%}")
    expected = points[round(shipped.cutoff * (len(points) - 1))]
    if max(abs(expected.lost - shipped.lost), abs(expected.answered - shipped.answered)) > 0.005:
        lines.append(
            f"  by its scores the shipped one should lose {expected.lost:.3f} and answer {expected.answered:.1%}"
        )
    return lines


def _verdict(value: float, bar: float) -> str:
    return "ok" if value <= bar else "over"


def _run(given: argparse.Namespace, variant: Variant) -> None:
    if not any(talk.questions for talk in variant.talks):
        print(f"\n{variant.label}: no questions")
        return
    whole, served, notes = asyncio.run(answers(variant.talks, given.depth))
    points = curve(whole.own, whole.crossed)
    recall = found_at(whole.own)
    shipped = Point(Config().search.min_score, recall - found_at(served.own), answered(served.crossed))
    print(
        f"\n{variant.label}: {len(whole.own):,} questions, served by {' + '.join(sorted(notes.modes))}; "
        f"recall@5 {100 * recall:.1f} without a cut-off"
    )
    bars = {} if given.limit_questions else BARS.get((variant.name, variant.removed is None), {})
    print("\n".join(table(points, shipped, bars)))
    if notes.refused:
        print(f"  refused: {len(notes.refused)}, the first of them {notes.refused[0]}")
    if given.json:
        report = {
            "set": variant.name,
            "removed": variant.removed,
            "modes": sorted(notes.modes),
            "questions": len(whole.own),
            "depth": given.depth,
            "limited": given.limit_questions is not None,
            "recall@5": round(recall, 5),
            "at_loss": {str(loss): highest(points, loss)._asdict() for loss in LOSSES},
            "shipped": shipped._asdict(),
            "curve": [point._asdict() for point in points[::50]],
        }
        record(given.json, "abstention", report)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abstention", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="labelled sets; default: all that stand beside the project")
    parser.add_argument("--depth", type=int, default=20, metavar="N", help="hits asked for, 1 to 100 (20)")
    parser.add_argument("--limit-questions", type=int, metavar="N", help="N questions of each set, always the same")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the figures to FILE, a line each variant")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    given = _arguments(argv)
    files: list[Path] = given.files or sorted(EVAL.glob("*.json.gz"))
    if not files:
        print("No labelled sets here; name some: FILE.json.gz", file=sys.stderr)
        return
    for file in files:
        one = sampled(read_set(file), given.limit_questions)
        if len(one.conversations) < 2:
            print(f"\n{one.name}: one conversation, whose questions cannot be asked of another user")
            continue
        for variant in variants(one):
            _run(given, variant)


if __name__ == "__main__":
    main()
