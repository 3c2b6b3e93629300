"""What a statement says word for word, so that two can be told apart that differ in one word only.

Stricter than terms: what finds a memory may be rough, what decides that one of two is superfluous may not.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from mcp_memory.text.patterns import Pattern
from mcp_memory.text.terms import Analyzer

Kind = Literal["number", "date", "name", "negation", "order", "wording", "fields"]
"""In what two memories differ that look alike; `fields`: they say the same, but have keys or topics that cannot be
united."""
FACTS: Final = frozenset[Kind](("number", "date", "name", "negation", "fields"))
"""Such a difference is a fact of its own, however much else is the same."""

NEGATIONS: Final = frozenset(
    """
    not no never none nobody nothing neither nor without stopped quit ceased nicht kein keine keinen keiner nie niemals
    ohne ne n pas jamais sans aucun aucune plus nunca sin ningún ninguna não sem non mai senza niet geen zonder не нет
    никогда без
    """.split()
)
NUMBERS: Final = frozenset(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half once twice
    """.split()
)
CALENDAR: Final = frozenset(
    """
    january february march april may june july august september october november december jan feb mar apr jun jul aug
    sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday
    """.split()
)
DATES: Final = CALENDAR | frozenset("today yesterday tomorrow now currently since longer anymore am pm".split())

_EMPTY: Final = frozenset("a an the is are to and that which who my do does also really very quite just".split())
"""Words that change nothing in what a statement says of the user; of prepositions none is one."""
_SUBJECT: Final = Pattern(r"(?i)\s*(?:(?:the )?user(?:['’]s)?|i(?:['’]m)?|my)\s+(?=\w)")
"""Whom every memory is about."""
_LEADING: Final = Pattern(r"(?i)((?:in|on|at|during|every|when) [^,.;:!?\n]{1,60}), ([^\n]+?)([.!]?)")
"""A phrase in front of the statement which may as well stand behind it: On trains, prefers window seats."""
_TOKEN: Final = Pattern(
    r"(?P<number>(?<![\w.-])[-−]?(?:\d{4}-\d\d-\d\d(?!\d)|\d+(?:[.,:]\d+)*))|(?P<word>[^\W_]+(?:['’][^\W_]+)*)"
    r"|(?P<sign>[^\s\w.,;:!?'\"’‘“”„«»()\[\]{}–—…/。，、！？：；（）「」『』•-])"
)
_ENDS: Final = Pattern(r"[.!?:;\n。！？•]")
_CONTRACTED: Final = {"ca": "can", "wo": "will", "sha": "shall"}
_SUFFIXES: Final = {"m": (), "re": (), "ll": ("will",), "ve": ("have",)}
_PRONOUNS: Final = frozenset("it he she that there here what who where how".split())
_INFLECTIONS: Final = frozenset(("", "s", "es", "ies", "ing", "e", "y"))
_PAST: Final = frozenset(("ed", "d", "ied"))
_TENSE: Final = "-ed"
"""What marks a stem that stands in the past: who lived somewhere does not live there."""


ALIKE: Final = 0.6
SAME_FRAME: Final = 0.5
"""The least share of words in common (Jaccard) of two statements that look alike; the second where they differ in
nothing but facts: lives in Lyon, lives in Berlin."""


class Wording(NamedTuple):
    """What a statement says.

    `said` has its words in order, inflections folded and empty words left out, and signs that are no punctuation.
    `names` are the words written with a capital where that means something; `one` and `many` are nouns said to be one
    (a dog) or several (dogs).
    """

    said: tuple[str, ...]
    names: frozenset[str]
    one: frozenset[str]
    many: frozenset[str]


class Reader:
    """Reads statements in the languages of one store."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._folded = lru_cache(maxsize=16_384)(self._fold)

    def read(self, text: str) -> Wording:
        """The wording of `text`."""
        text = unicodedata.normalize("NFKC", text)
        if moved := _LEADING.fullmatch(text):
            text = f"{moved[2]} {moved[1]}"
        elif subject := _SUBJECT.match(text):
            text = text[subject.end() :]
        said: list[str] = []
        names: set[str] = set()
        one: set[str] = set()
        many: set[str] = set()
        article, place = False, 0
        for match in _TOKEN.finditer(text):
            begins = not said or _ENDS.search(text, place, match.start()) is not None
            place = match.end()
            for word in _parts(match[0]) if match["word"] else (match[0],):
                if word.casefold() in _EMPTY:
                    article = word.casefold() in {"a", "an"}
                    continue
                named = not begins and word[0].isupper() and len(match[0]) > len("I")
                token = word.casefold() if named else self._folded(word.casefold())
                said.append(token)
                names |= {token} if named and token not in DATES else set()
                one |= {token} if article else set()
                many |= {token} if word.endswith("s") and not token.endswith("s") else set()
                article = False
        return Wording(tuple(said), frozenset(names), frozenset(one), frozenset(many))

    def _fold(self, word: str) -> str:
        """`word` without the endings of English plurals and present verbs; any other word as it is."""
        if not word.isascii() or not word.isalpha() or word in DATES or word in NUMBERS or word in NEGATIONS:
            return word
        if word == "has":
            return "have"
        stem = next(iter(self._analyzer.terms(word)), word)
        shared = next((at for at, pair in enumerate(zip(word, stem, strict=False)) if len(set(pair)) > 1), None)
        ending = word[min(len(word), len(stem)) if shared is None else shared :]
        if ending and ending not in _INFLECTIONS | _PAST and ending[0] == stem[-1]:
            ending = ending[1:]  # planning, stem plan
        if ending in _PAST:
            return stem + _TENSE
        return stem if ending in _INFLECTIONS else word


def alike(one: Wording, other: Wording, names: frozenset[str] = frozenset()) -> frozenset[Kind]:
    """In what two statements differ that look alike; nothing where they do not. `names` are words known to be names."""
    kinds = differences(one, other, names) or frozenset[Kind]({"fields"})
    return kinds if share(one, other) >= (ALIKE if "wording" in kinds else SAME_FRAME) else frozenset()


def differences(one: Wording, other: Wording, names: Iterable[str] = ()) -> frozenset[Kind]:
    """In what two statements differ, nothing where they say the same. `names` are words known to be names."""
    known = one.names | other.names | frozenset(names)
    here, there = Counter(one.said), Counter(other.said)
    differing = (here - there).keys() | (there - here).keys()
    kinds: set[Kind] = {kind_of(token, known) for token in differing}
    if not differing and one.said != other.said:
        kinds.add("order")
    if one.one & other.many or one.many & other.one:
        kinds.add("number")
    return frozenset(kinds)


def share(one: Wording, other: Wording) -> float:
    """How much of both together stands in both (Jaccard)."""
    here, there = set(one.said), set(other.said)
    return len(here & there) / (len(here | there) or 1)


def frame(wording: Wording, names: frozenset[str]) -> tuple[str, ...]:
    """The words of a statement without numbers, dates, names and negations, sorted: what it is a statement of."""
    known = wording.names | names
    return tuple(sorted(token for token in wording.said if kind_of(token, known) == "wording"))


def kind_of(token: str, names: frozenset[str]) -> Kind:
    """What `token` is, where `names` are."""
    if token in NEGATIONS:
        return "negation"
    if token in DATES or (token.isdigit() and len(token) == 4 and "1900" <= token <= "2100") or token.count("-") == 2:
        return "date"
    if token in NUMBERS or any(char.isdigit() for char in token):
        return "number"
    return "name" if token in names else "wording"


def _parts(word: str) -> Iterator[str]:
    """A word without its apostrophes: doesn't is do and not, Emma's is Emma's own."""
    if word.casefold() == "cannot":
        yield from ("can", "not")
        return
    base, *suffixes = word.replace("’", "'").split("'")
    suffix = suffixes[-1].casefold() if suffixes else ""
    if suffix == "t" and base.casefold().endswith("n") and len(base) > 2:
        bare = base[:-1]
        yield _CONTRACTED.get(bare.casefold(), bare)
        yield "not"
        return
    if suffix == "s" and base.casefold() in {"user", "users"}:
        return
    yield base
    if suffix in _SUFFIXES:
        yield from _SUFFIXES[suffix]
    elif suffix and not (suffix == "s" and base.casefold() in _PRONOUNS):
        yield "'" + suffix
