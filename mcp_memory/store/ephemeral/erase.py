"""Erasing in the plain store: what is dropped here is gone."""

from collections.abc import Iterator

from mcp_memory.models import FORGOTTEN, Erased, OneMemory
from mcp_memory.store.ephemeral.shelf import Shelf, histories, take_away


def erased_user(shelf: Shelf) -> Erased:
    """What goes with a whole shelf."""
    return Erased(
        memories=len(histories(shelf)),
        revisions=len(shelf.revisions),
        wordings=len(shelf.superseded),
        vectors=len(shelf.vectors),
        changes=len(shelf.changes),
    )


def erased_memory(shelf: Shelf, doomed: OneMemory, numbers: Iterator[int]) -> Erased:
    """Take a memory off the shelf, with all that names it; a trace of it only where there was something."""
    revisions = [one for one in shelf.revisions if one.memory.id == doomed.id]
    if not revisions:
        return Erased()
    rows = {one.memory.row for one in revisions}
    seqs = {one.memory.seq for one in revisions}
    erased = Erased(
        memories=len(rows),
        revisions=len(revisions),
        wordings=sum(one.wording.seq in seqs for one in shelf.superseded),
        vectors=len(rows & shelf.vectors.keys()),
    )
    for row in rows:
        shelf.memories.pop(row, None)
        shelf.vectors.pop(row, None)
    take_away(shelf, revisions)
    shelf.revisions = [
        one.replace(reason=one.reason.replace(doomed.id, FORGOTTEN)) if one.reason else one for one in shelf.revisions
    ]
    for seq, change in shelf.changes.items():
        shelf.changes[seq] = change.replace(summary=change.summary.replace(doomed.id, FORGOTTEN))
    seq = next(numbers)
    shelf.changes[seq] = doomed.change.replace(seq=seq)
    return erased
