"""Secrets in a text: keys and tokens, passwords that are called so, card numbers and IBANs, each with its place.

Patterns that seldom mean anything else. What a text must hold to match one is looked for first, so that most texts meet
no pattern at all; every pattern is bounded, so that the time grows with the length of the text and no faster.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from mcp_memory.text.assigned import Span, assigned, written
from mcp_memory.text.patterns import Pattern
from mcp_memory.text.vendors import IBAN_LENGTHS, ISSUED, LONGEST_WORD, NUMBERED

_BEGIN: Final = Pattern(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY|PuTTY-User-Key-File-\d")
_END: Final = "-----END "
_LONG: Final = Pattern(rf"\S{{{LONGEST_WORD},}}")
_DIGITS: Final = Pattern(
    r"[2-6](?<![\w.+#/=-].)(?:\d{11,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?|\d{3}([ -])\d{6}\2\d{4,5})"
    r"(?![\w-]|[.,]\d)"
)
_ORDERED: Final = Pattern(
    r"(?:order|tracking|parcel|shipment|invoice|ticket|member|serial|bestell|sendung|auftrag|gutschein|commande|pedido)"
    r"\w{0,10}[ .:#-]{0,2}(?:number|no|nr|id|n°)?[ .:#]{0,3}\Z",
    re.IGNORECASE,
)
"""What says before a number that it is none of a card."""
_IBAN: Final = Pattern(
    r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?<![A-Za-z0-9][A-Za-z]{2}[0-9]{2})(?=((?:[ -]?[A-Za-z0-9]){11,30}))"
)
_VARIED: Final = 5
"""Different characters that the end of a key has at least; sk-xxxxxxxx stands for one."""
_FEW: Final = 16
"""So many replacements in all of a text are faster than one look at each character."""
_UNSEEN: Final = "\u034f\u115f\u1160\u3164\uffa0"
"""What shows as nothing though it is no format character."""


class Secret(NamedTuple):
    """A secret of some kind, in words, and where it stands."""

    kind: str
    start: int
    end: int

    def shifted(self, by: int) -> "Secret":
        """The same where the text begins `by` characters later."""
        return Secret(self.kind, self.start + by, self.end + by)


def secrets(text: str) -> tuple[Secret, ...]:
    """The secrets in `text`, in order and apart from each other.

    Compatibility forms count as what they stand for (full-width digits), and what shows as nothing does not count.
    """
    folded, places = _folded(text)
    found = [span for span in _found(folded) if span[1] < span[2]]
    if places is not None:
        found = [(kind, places[start], places[end - 1] + 1) for kind, start, end in found]
    return _apart(found)


def credential(text: str) -> str | None:
    """What kind of secret stands in `text` first; None where none is seen."""
    found = secrets(text)
    return found[0].kind if found else None


def redacted(text: str, found: Sequence[Secret]) -> str:
    """`text` with every secret of `found` replaced by its kind."""
    parts: list[str] = []
    done = 0
    for one in found:
        parts += [text[done : one.start], f"[redacted: {one.kind}]"]
        done = one.end
    return "".join([*parts, text[done:]])


def _found(text: str) -> Iterator[Span]:
    low = _lower(text)
    yield from _private_keys(text)
    if max(map(len, text.split()), default=0) >= LONGEST_WORD:
        yield from _issued(text)
    yield from written(text, low)
    yield from assigned(text, low)
    yield from _cards(text)
    yield from _ibans(text)


def _private_keys(text: str) -> Iterator[Span]:
    """Each from its first line to its last, or to the end of the text."""
    if "PRIVATE KEY" not in text and "PuTTY-" not in text:
        return
    end = 0
    while match := _BEGIN.search(text, end):
        close = text.find(_END, match.end())
        end = len(text) if close < 0 else text.find("-----", close + len(_END))
        end = len(text) if close < 0 or end < 0 else end + 5
        yield "private key", match.start(), end


def _issued(text: str) -> Iterator[Span]:
    for word in _LONG.finditer(text):
        for piece, kind, pattern in ISSUED:
            if piece in word[0]:
                for match in _compiled(pattern).finditer(text, *word.span()):
                    if len(set(match[0][-16:])) >= _VARIED:
                        yield kind, *match.span()


@cache
def _compiled(pattern: str) -> Pattern:
    return Pattern(rf"(?<![A-Za-z0-9_-])(?:{pattern})")


def _cards(text: str) -> Iterator[Span]:
    for match in _DIGITS.finditer(text):
        bare = match[0].replace(" ", "").replace("-", "")
        if _is_card(bare) and not _ORDERED.search(text, max(0, match.start() - 30), match.start()):
            yield "card number", *match.span()


def _is_card(digits: str) -> bool:
    """A number that an issuer can have given out, with Luhn's check digit (ISO/IEC 7812)."""
    if len(set(digits)) < 2 or not any(_number(pattern).fullmatch(digits) for pattern, _ in NUMBERED):
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


@cache
def _number(pattern: str) -> Pattern:
    return Pattern(pattern)


def _ibans(text: str) -> Iterator[Span]:
    done = 0
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        length = _lengths().get(text[start : start + 2].upper(), 0)
        places = [place for place, char in enumerate(text[start : match.end(1)], start) if char.isalnum()][:length]
        end = places[-1] + 1 if len(places) == length > 0 else 0
        if start >= done and end and not text[end : end + 1].isalnum() and _is_iban(text[start:end]):
            yield "IBAN", start, end
            done = end


@cache
def _lengths() -> dict[str, int]:
    return {entry[:2]: int(entry[2:]) for entry in IBAN_LENGTHS.split()}


def _is_iban(match: str) -> bool:
    """The check digits of ISO 13616."""
    bare = match.replace(" ", "").replace("-", "").upper()
    moved = bare[4:] + bare[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _folded(text: str) -> tuple[str, list[int] | None]:
    """`text` in compatibility forms (NFKC), and the place in `text` of every character where they differ."""
    if text.isascii():
        return text, None
    forms = {char: form for char in set(text) if (form := _form(char)) != char}
    if not forms:
        return text, None
    folded = text
    if len(forms) > _FEW:
        folded = "".join(forms.get(char, char) for char in text)
    else:
        for char, form in forms.items():  # a form holds no character that has another one
            folded = folded.replace(char, form)
    if all(len(form) == 1 for form in forms.values()):
        return folded, None
    return folded, [place for place, char in enumerate(text) for _ in forms.get(char, char)]


def _form(char: str) -> str:
    return "" if unicodedata.category(char) == "Cf" or char in _UNSEEN else unicodedata.normalize("NFKC", char)


def _lower(text: str) -> str:
    """`text` in lower case, every character in its place."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


def _apart(found: list[Span]) -> tuple[Secret, ...]:
    """Spans that touch become one, of the kind that was found first: the more certain kinds come first."""
    apart: list[Secret] = []
    certainty: list[int] = []
    for order, (kind, start, end) in sorted(enumerate(found), key=lambda one: one[1][1:]):
        if apart and start < apart[-1].end:
            last = apart[-1]
            surer = kind if order < certainty[-1] else last.kind
            apart[-1] = Secret(surer, last.start, max(last.end, end))
            certainty[-1] = min(order, certainty[-1])
        else:
            apart.append(Secret(kind, start, end))
            certainty.append(order)
    return tuple(apart)
