# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# (snowballstemmer has no types)
"""Pure functions on text: clean-up of what comes in, terms for the index, lengths of time.

Terms are made here, not by the database's tokenizer, so that every store indexes and finds exactly the same.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Final, Literal

from snowballstemmer.english_stemmer import EnglishStemmer

_HIDDEN: Final = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f"  # controls but tab and newline
    "\u200b\u2060-\u2064\ufeff"  # zero-width space, word joiner, invisible operators, byte order mark
    "\u202a-\u202e\u2066-\u2069"  # bidi embeddings, overrides and isolates
    "\U000e0000-\U000e007f]"  # tag characters
)
_JOINERS: Final = re.compile("[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_EMOJI_SIGNS: Final = "\u2139\u203c\u2049\u2194\u25fb\u25fc\u25fd\u25fe\u2934\u2935\u3030\u303d"
"""Emoji that Unicode counts among letters, punctuation or mathematical signs."""
_JOINING_SCRIPTS: Final = (
    (0x0600, 0x08FF),  # Arabic, Syriac, Thaana, N'Ko, Mandaic
    (0x0900, 0x0DFF),  # the scripts of India and Sri Lanka
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1780, 0x18AF),  # Khmer, Mongolian
    (0xFB50, 0xFDFF),  # Arabic presentation forms
    (0xFE70, 0xFEFC),
)
_HAN: Final = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_UNSPACED: Final = (
    *_HAN,
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
)
_HANGUL: Final = ((0x1100, 0x11FF), (0xAC00, 0xD7AF))
_MARKS: Final = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
_ASCII_WORD: Final = re.compile("[a-z0-9]+")
_MAX_TERM: Final = 64

STOP_WORDS: Final = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being below between both but by
    can could d did do does doing don down during each few for from further had has have having he her here hers herself
    him himself his how i if in into is it its itself just ll m me might more most must my myself no nor not now o of
    off on once only or other our ours ourselves out over own re s same shall she should so some such t than that the
    their theirs them themselves then there these they this those through to too under until up us ve very was we were
    what when where which while who whom why will with would y you your yours yourself yourselves
    """.split()
)
"""English words that say nothing about a memory; a query made of nothing else keeps them."""


def clean(text: str) -> str:
    """`text` in NFC without what nobody can see: controls, bidi overrides, zero-width and tag characters.

    Newlines stay, other runs of blanks become one. Joiners stay where real text needs them: U+200C/D between letters of
    joining scripts, U+200D and variation selectors in emoji. Cleaning twice changes nothing.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    lines = (" ".join(line.split()) for line in visible(text).split("\n"))
    return "\n".join(lines).strip("\n")


def visible(text: str) -> str:
    """`text` in NFC without hidden characters, its blanks as they are."""
    text = _HIDDEN.sub("", unicodedata.normalize("NFC", text))
    # Taking a joiner away can bring marks together that NFC then orders anew, so look again until nothing changes.
    while _JOINERS.search(text) and (kept := unicodedata.normalize("NFC", "".join(_needed(text)))) != text:
        text = kept
    return text


def lone_surrogate(text: str) -> bool:
    """Whether `text` holds half of a surrogate pair, which no file or wire can carry."""
    return _SURROGATE.search(text) is not None


def terms(text: str) -> list[str]:
    """The terms under which `text` is found, in order, repeats included.

    Words are case-folded, stripped of accents and, where English, stemmed. Runs of scripts written without spaces give
    every character and every pair of neighbours; Korean gives those beside its words.
    """
    return list(_terms(text))


def query_terms(text: str) -> list[str]:
    """The distinct terms of a query without stop words, in order; with them where nothing else is left."""
    words = list(_words(text))
    telling = [word for word in words if word not in STOP_WORDS] or words
    return list(dict.fromkeys(term for word in telling for term in _terms_of(word)))


def parse_duration(text: str) -> int | None:
    """Microseconds of a length such as `30d`, `12h` or `2w`; None if `text` is not one."""
    match = re.fullmatch(r"(\d{1,5})\s*([hdw])", text.strip().lower(), re.ASCII)
    if match is None:
        return None
    return int(match[1]) * {"h": 3600, "d": 86_400, "w": 604_800}[match[2]] * 1_000_000


def parse_moment(text: str, zone: tzinfo | None) -> int | None:
    """Microseconds since the epoch of an ISO 8601 date or date-time; None if `text` is not one.

    Without an offset it is a time in `zone` (None: the system's); a date alone is its first moment there.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
        whole = moment.replace(microsecond=0).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return round(whole) * 1_000_000 + moment.microsecond


def _needed(text: str) -> Iterator[str]:
    """The characters of `text`, without joiners and selectors that join or select nothing."""
    previous = ""
    for index, char in enumerate(text):
        if not _JOINERS.match(char):
            previous = char
            yield char
            continue
        following = text[index + 1] if index + 1 < len(text) else ""
        if _joins(previous, char, following):
            previous = char
            yield char


def _joins(previous: str, joiner: str, following: str) -> bool:
    if not previous or (_JOINERS.match(previous) and (previous, joiner) != ("\ufe0f", "\u200d")):
        return False
    if joiner in "\u200c\u200d" and _in(previous, _JOINING_SCRIPTS) and following and _in(following, _JOINING_SCRIPTS):
        return unicodedata.category(previous)[0] in "LM" and unicodedata.category(following)[0] in "LM"
    if joiner == "\u200d":
        return (previous == "\ufe0f" or _is_emoji(previous)) and bool(following) and _is_emoji(following)
    if joiner in "\ufe0e\ufe0f":
        return _is_emoji(previous) or previous in "0123456789#*"
    return joiner >= "\U000e0100" and _in(previous, _HAN)


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) == "So" or "\U0001f3fb" <= char <= "\U0001f3ff" or char in _EMOJI_SIGNS


def _in(char: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    point = ord(char)
    return any(low <= point <= high for low, high in ranges)


def _terms(text: str) -> Iterator[str]:
    for word in _words(text):
        yield from _terms_of(word)


def _words(text: str) -> Iterator[str]:
    """Runs of letters and digits of one kind of script, folded."""
    if text.isascii():
        yield from _ASCII_WORD.findall(text.lower())
        return
    # Compatibility forms first: a mathematical or full-width capital has no lower case of its own.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    folded = unicodedata.normalize("NFC", _MARKS.sub("", folded)).replace("ı", "i")
    run: list[str] = []
    kind = None
    for char in folded:
        kind_here = _kind(char) if char != " " else None
        if kind_here != kind and run:
            yield "".join(run)
            run = []
        kind = kind_here
        if kind_here:
            run.append(char)
    if run:
        yield "".join(run)


@lru_cache(maxsize=8192)
def _kind(char: str) -> Literal["unspaced", "hangul", "word"] | None:
    category = unicodedata.category(char)
    if category[0] not in "LNM" and category != "Co":
        return None
    if _in(char, _UNSPACED):
        return "unspaced"
    return "hangul" if _in(char, _HANGUL) else "word"


def _terms_of(word: str) -> Iterator[str]:
    match _kind(word[0]):
        case "unspaced":
            yield from _characters_and_pairs(word)
        case "hangul":
            yield from _characters_and_pairs(word)
            if len(word) > 2:
                yield word[:_MAX_TERM]
        case _:
            yield _stem(word[:_MAX_TERM])


def _characters_and_pairs(run: str) -> Iterator[str]:
    yield from run
    yield from (run[index : index + 2] for index in range(len(run) - 1))


_stemmer: Final = EnglishStemmer()


@lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    """The English (Porter 2) stem; other scripts and numbers as they are."""
    return str(_stemmer.stemWord(word)) if word.isascii() and not word.isdigit() else word
