"""What changed between two wordings, word by word, in the notation of wdiff: [-gone-]{+new+}."""

import re
from difflib import SequenceMatcher
from typing import Final

from mcp_memory.text.patterns import Pattern

_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN: Final = Pattern(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|\s+|[^\w\s]")
"""A word, a character of a script that is written without spaces, blanks, or a mark."""

_MOST: Final = 60_000
"""Where the product of both lengths is above this, all counts as changed: comparing could take a second."""
_LEAST: Final = 0.3
"""The share of words that must have stayed; below it a diff is harder to read than both wordings."""

_Piece = tuple[str, str]


def word_diff(old: str, new: str) -> str:
    """`new`, with what it has not from `old` in {+ +} and what is gone in [- -]; equal texts as they are."""
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    start = _same_at_start(before, after)
    end = _same_at_start(before[start:][::-1], after[start:][::-1])
    first, last = before[start : len(before) - end], after[start : len(after) - end]
    head, tail = "".join(before[:start]), "".join(before[len(before) - end :])
    pieces: list[_Piece] = [(head, head), *_compared(first, last), (tail, tail)]
    kept = sum(len(one) for one, other in pieces if one == other and one.strip())
    if kept < _LEAST * min(len(old), len(new)):
        pieces = [(old, new)]
    return "".join(one if one == other else _marked(one, other) for one, other in _joined(pieces))


def _same_at_start(one: list[str], other: list[str]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _compared(before: list[str], after: list[str]) -> list[_Piece]:
    if len(before) * len(after) > _MOST:
        return [("".join(before), "".join(after))]
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [("".join(before[a:b]), "".join(after[c:d])) for _, a, b, c, d in codes]


def _joined(pieces: list[_Piece]) -> list[_Piece]:
    """Changes with only blanks between them become one."""
    joined: list[_Piece] = []
    for one, other in pieces:
        if one == other == "":
            continue
        changed = one != other
        if changed and joined and joined[-1][0] != joined[-1][1]:
            joined[-1] = (joined[-1][0] + one, joined[-1][1] + other)
        elif changed and len(joined) > 1 and _blank(joined[-1]) and joined[-2][0] != joined[-2][1]:
            blank, former = joined.pop()[0], joined.pop()
            joined.append((former[0] + blank + one, former[1] + blank + other))
        else:
            joined.append((one, other))
    return joined


def _blank(piece: _Piece) -> bool:
    return piece[0] == piece[1] and re.fullmatch(r"\s+", piece[0]) is not None


def _marked(gone: str, new: str) -> str:
    return (f"[-{gone}-]" if gone else "") + (f"{{+{new}+}}" if new else "")
