"""A memory with all its versions: what leaves a store whole, and comes into another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from mcp_memory.models import Change, Memory, Revision
from mcp_memory.values import Value

UNDO_OF: Final = "undo of "
"""How the reason of a version begins that an undo wrote; the id of the change follows."""

_GONE: Final = {"delete", "expire"}


class Lineage(Value):
    """A memory, and the versions that led to it, oldest first."""

    memory: Memory
    revisions: tuple[Revision, ...] = ()


def past_changes(brought: Iterable[Lineage]) -> list[Change]:
    """The changes that the versions were made by, each once, oldest first."""
    told = {version.change.id: version.change for one in brought for version in one.revisions}
    return sorted(told.values(), key=lambda change: change.at)


def undone_by(brought: Iterable[Lineage], seqs: Mapping[str, int], otherwise: int) -> dict[int, int]:
    """Which of the changes of the versions are undone, and by which: `seqs` has the number of each by its id.

    That is the change of a version that says so; `otherwise` where there is none.
    """
    found: dict[int, int] = {}
    for version in (version for one in brought for version in one.revisions):
        seq = seqs[version.change.id]
        undone = undo_of(version)
        if version.change.undone_by is not None:
            found.setdefault(seq, otherwise)
        if undone is not None and undone in seqs and found.get(seqs[undone]) == otherwise:
            found[seqs[undone]] = seq
    return found


def superseded(revisions: Sequence[Revision]) -> Iterator[tuple[int, int]]:
    """The places of versions whose wording a later one replaced, other than by an undo, and of these later ones."""
    for place, (former, later) in enumerate(pairwise(revisions)):
        reworded = later.operation in {"update", "restore"} and former.memory.content != later.memory.content
        if reworded and former.operation not in _GONE and undo_of(later) is None:
            yield place, place + 1


def undo_of(revision: Revision) -> str | None:
    """The id of the change that the one of this version undid, if that is what it did."""
    reason = revision.reason or ""
    return reason.removeprefix(UNDO_OF) if reason.startswith(UNDO_OF) else None
