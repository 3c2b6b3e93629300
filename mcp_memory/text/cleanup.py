"""Clean-up of what comes in: nothing that nobody can see, everything that real text needs."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from mcp_memory.text.patterns import Pattern

_HIDDEN_CHARACTERS: Final = (
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f"  # controls but tab and newline
    "\u200b\u2060-\u2064\ufeff"  # zero-width space, word joiner, invisible operators, byte order mark
    "\u202a-\u202e\u2066-\u2069"  # bidi embeddings, overrides and isolates
    "\U000e0000-\U000e007f"  # tag characters
)
_HIDDEN: Final = Pattern(f"[{_HIDDEN_CHARACTERS}]")
_HIDDEN_OR_BREAK: Final = Pattern(f"[{_HIDDEN_CHARACTERS}\u2028\u2029]")
_SELECTORS: Final = Pattern("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_JOINERS: Final = Pattern("[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SURROGATE: Final = Pattern("[\ud800-\udfff]")
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


@lru_cache(1_024)  # a reply shows each text in both its forms, and the same ones are found again and again
def escaped(text: str) -> str:
    """`text` with what `clean` takes away as hidden shown by its number, backslash and u202e for one; else as it is."""
    # Everything hidden is not printable, but for selectors; neither is a newline, which stays.
    if text.isprintable() and (text.isascii() or not _SELECTORS.search(text)):
        return text
    if _JOINERS.search(text):
        text = "".join(char if needed else _number(char) for char, needed in _joined(text))
    return _HIDDEN_OR_BREAK.sub(lambda match: _number(match[0]), text)


def lone_surrogate(text: str) -> bool:
    """Whether `text` holds half of a surrogate pair, which no file or wire can carry."""
    return _SURROGATE.search(text) is not None


def _needed(text: str) -> Iterator[str]:
    """The characters of `text`, without joiners and selectors that join or select nothing."""
    return (char for char, needed in _joined(text) if needed)


def _joined(text: str) -> Iterator[tuple[str, bool]]:
    """The characters of `text`, and whether each is needed: a joiner that joins nothing, or a selector, is not."""
    previous = ""
    for index, char in enumerate(text):
        following = text[index + 1] if index + 1 < len(text) else ""
        needed = not _JOINERS.match(char) or _joins(previous, char, following)
        previous = char if needed else previous
        yield char, needed


def _number(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


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
