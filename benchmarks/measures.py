"""What the benchmarks compute from rankings: recall, NDCG, bootstrap intervals and the price of a cut-off. No I/O."""

import itertools
import math
from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Final, NamedTuple

DEPTHS: Final = (1, 5, 10, 20)
GAIN_DEPTH: Final = 10
COLUMNS: Final = (*(f"recall@{depth}" for depth in DEPTHS), f"ndcg@{GAIN_DEPTH}")
"""The measures of one question, in the order of `measures`."""

RESAMPLES: Final = 1_000
CUT_DEPTH: Final = 5
"""Abstention is about recall@5."""

_SEED: Final = 7
_CONFIDENCE: Final = 0.95
_STEPS: Final = 1_000
_ROUNDING: Final = 1e-9


class Interval(NamedTuple):
    """A mean over questions, and where it lies in 95 % of the resamples."""

    mean: float
    low: float
    high: float


class Asked(NamedTuple):
    """The hits of one question, in the order of the reply: the public score of each, and whether it is evidence.

    `evidence` counts what there was to find; 0 for a question whose answer is somebody else's.
    """

    hits: tuple[tuple[float, bool], ...]
    evidence: int = 0


class Point(NamedTuple):
    """What one cut-off costs and saves.

    `lost` is the recall@5 that the own questions lose, absolute; `answered` is the share of the crossed questions that
    still get a hit.
    """

    cutoff: float
    lost: float
    answered: float


def recall(ranked: Sequence[str], evidence: Collection[str], depth: int) -> float:
    """The share of `evidence` among the first `depth` of `ranked`."""
    return len(set(evidence) & set(ranked[:depth])) / len(set(evidence))


def ndcg(ranked: Sequence[str], evidence: Collection[str], depth: int = GAIN_DEPTH) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002) with gains of 0 and 1.

    The ideal is all evidence first, as much of it as `depth` has room for. `ranked` holds no id twice.
    """
    wanted = set(evidence)
    gained = sum(_discount(rank) for rank, one in enumerate(ranked[:depth]) if one in wanted)
    return gained / sum(_discount(rank) for rank in range(min(len(wanted), depth)))


def measures(ranked: Sequence[str], evidence: Collection[str]) -> tuple[float, ...]:
    """One number for each of `COLUMNS`."""
    return (*(recall(ranked, evidence, depth) for depth in DEPTHS), ndcg(ranked, evidence))


def intervals(rows: Sequence[Sequence[float]]) -> list[Interval]:
    """The mean of each column of `rows` (one row a question) with its percentile bootstrap interval.

    The same number of questions gives the same resamples, always: intervals of a difference are those of the
    differences. Drawing n of n questions with replacement is drawing how often each one occurs.
    """
    import numpy as np

    table = np.array(rows, dtype=np.float64)
    count = len(rows)
    drawn = np.random.default_rng(_SEED).multinomial(count, [1 / count] * count, size=RESAMPLES)
    means = drawn @ table / count
    outside = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(means, [outside, 1 - outside], axis=0)
    columns = zip(table.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return [Interval(*column) for column in columns]


def curve(own: Sequence[Asked], crossed: Sequence[Asked]) -> list[Point]:
    """The price of every cut-off from 0 to 1 in steps of 0.001.

    As a search does: where even the best hit is below the cut-off, nothing is shown; otherwise hits below half of it
    are left out, and those after them move up. What a reply did not hold cannot move up, so the loss is an upper bound
    where replies were short.
    """
    import numpy as np

    width = max((len(one.hits) for one in (*own, *crossed)), default=0)
    table = np.array([one.hits + ((-1.0, False),) * (width - len(one.hits)) for one in own]).reshape(len(own), width, 2)
    scores, evidence = table[:, :, 0], table[:, :, 1] > 0
    wanted = np.array([one.evidence for one in own])
    best, best_crossed = (
        np.array([max((score for score, _ in one.hits), default=-1.0) for one in asked]) for asked in (own, crossed)
    )

    def found(cutoff: float) -> float:
        kept = (scores >= cutoff / 2) & (best >= cutoff)[:, None]
        counted = kept & evidence & (kept.cumsum(axis=1) <= CUT_DEPTH)
        return float((counted.sum(axis=1) / wanted).mean())

    whole = found(0)
    cutoffs = [step / _STEPS for step in range(_STEPS + 1)]
    return [Point(cutoff, whole - found(cutoff), float((best_crossed >= cutoff).mean())) for cutoff in cutoffs]


def highest(points: Sequence[Point], lost: float) -> Point:
    """The highest cut-off that loses at most `lost`, and so do all below it."""
    within = itertools.takewhile(lambda point: point.lost <= lost + _ROUNDING, points)
    return list(within)[-1]


def found_at(asked: Sequence[Asked], depth: int = CUT_DEPTH) -> float:
    """The mean recall at `depth` of questions with evidence."""
    return fmean(sum(evidence for _, evidence in one.hits[:depth]) / one.evidence for one in asked)


def answered(asked: Sequence[Asked]) -> float:
    """The share of questions that got a hit."""
    return fmean(bool(one.hits) for one in asked)


def _discount(rank: int) -> float:
    """Of the hit with so many before it."""
    return 1 / math.log2(rank + 2)
