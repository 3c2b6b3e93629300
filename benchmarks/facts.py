"""Whether a memory says a fact, and in whose language, judged without a model, and so approximately. No I/O."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.dialogues import Fact
from mcp_memory.text import Analyzer

SHARE: Final = 0.6
"""The share of a fact's telling words that says it, where the fact names no words of its own.

Where one turn and one fact of LoCoMo are the evidence of the same question, 78 % of the turns say their fact by it; of
any two facts of a conversation one says the other in 0.1 %. At 0.5 it is 87 % and 0.4 %, at 0.7 67 % and 0.03 %.
"""

LATIN: Final = "latin"
"""A text in Latin letters of which nothing shows the language."""

_FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "english": frozenset("the is are was has have user of to and with his her their who not at for from i my".split()),
    "german": frozenset(
        "der die das den dem des und ist nicht mit ein eine einen hat von auf für im er sie seine ich wohnt".split()
    ),
    "french": frozenset("le la les l d des est une un et dans pour avec sur pas qui sa son à du au je mon".split()),
    "spanish": frozenset("el la los las es una un y en con por que su sus de del no se yo mi".split()),
    "italian": frozenset("il la lo gli le è una un e di del della per con che non suo sua mia mio si".split()),
    "portuguese": frozenset("o a os as é uma um e do da dos para com que não seu sua em na no meu".split()),
    "dutch": frozenset("de het een en is niet met van op voor zijn haar die heeft ik mijn woont".split()),
}

_LEAST: Final = 2
"""So many function words show a language: a single "a" may be of several."""

_EASTERN: Final = {"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA"}
_LETTERS_A_SIGN: Final = 3
"""A sign of scripts without spaces says about as much as three letters."""

_ANALYZER: Final = Analyzer()


@dataclass(frozen=True)
class Verdict:
    """What became of the facts of one or more conversations: how many there were, and the texts of what went wrong."""

    facts: int = 0
    stale: int = 0
    memories: int = 0
    missed: tuple[str, ...] = ()
    """Facts that no memory says."""
    junk: tuple[str, ...] = ()
    """Memories that say no fact, not even a stale one."""
    left: tuple[str, ...] = ()
    """Stale facts that a memory still says."""
    foreign: tuple[str, ...] = ()
    """Memories in a language that none of the user's messages has."""

    @property
    def kept(self) -> int:
        return self.facts - len(self.missed)

    @property
    def in_language(self) -> int:
        return self.memories - len(self.foreign)


def says(memory: str, fact: Fact, ignored: Collection[str] = ()) -> bool:
    """Whether `memory` says `fact`, going by words without their endings, case and accents.

    Where the fact names no words, `SHARE` of its telling words do, names in `ignored` aside.
    """
    held = frozenset(_ANALYZER.terms(memory))
    if any(_holds(held, wording) for wording in fact.unless):
        return False
    if fact.any:
        return all(any(_holds(held, wording) for wording in either) for either in fact.any)
    unasked = {term for name in ("user", *ignored) for term in _ANALYZER.terms(name)}
    telling = _ANALYZER.query_terms(fact.text).keys() - unasked
    return bool(telling) and len(telling & held) >= SHARE * len(telling)


def judged(
    facts: Sequence[Fact], said: Sequence[str], memories: Sequence[str], ignored: Collection[str] = ()
) -> Verdict:
    """What became of `facts` in `memories`; `said` are the user's messages, `ignored` the names of who speaks."""
    told = [[says(memory, fact, ignored) for memory in memories] for fact in facts]
    by_fact = list(zip(facts, told, strict=True))
    return Verdict(
        facts=sum(not fact.stale for fact in facts),
        stale=sum(fact.stale for fact in facts),
        memories=len(memories),
        missed=tuple(fact.text for fact, by in by_fact if not fact.stale and not any(by)),
        junk=tuple(one for number, one in enumerate(memories) if not any(by[number] for by in told)),
        left=tuple(fact.text for fact, by in by_fact if fact.stale and any(by)),
        foreign=_foreign(memories, said),
    )


def pooled(verdicts: Iterable[Verdict]) -> Verdict:
    """All of them as one: every fact and memory counts the same."""
    every = list(verdicts)
    return Verdict(
        facts=sum(one.facts for one in every),
        stale=sum(one.stale for one in every),
        memories=sum(one.memories for one in every),
        missed=tuple(text for one in every for text in one.missed),
        junk=tuple(text for one in every for text in one.junk),
        left=tuple(text for one in every for text in one.left),
        foreign=tuple(text for one in every for text in one.foreign),
    )


def tongue(text: str) -> str:
    """The language of a text in Latin letters, or `LATIN` if that is not clear; else its script, empty for none.

    Chinese and Japanese are told apart by kana.
    """
    scripts: Counter[str] = Counter()
    kana = False
    for char in filter(str.isalpha, unicodedata.normalize("NFKC", text)):
        script = unicodedata.name(char, "?").split()[0].split("-")[0]
        kana = kana or script in {"HIRAGANA", "KATAKANA"}
        eastern = script in _EASTERN
        scripts["EASTERN" if eastern else script] += _LETTERS_A_SIGN if eastern or script == "HANGUL" else 1
    match scripts.most_common(1):
        case [("LATIN", _)]:
            return _latin(text)
        case [("EASTERN", _)]:
            return "japanese" if kana else "chinese"
        case [(script, _)]:
            return script.lower()
        case _:
            return ""


def _latin(text: str) -> str:
    letters = "".join(char if char.isalpha() else " " for char in unicodedata.normalize("NFC", text).casefold())
    words = Counter(letters.split())
    found = Counter({name: sum(words[word] for word in known) for name, known in _FUNCTION_WORDS.items()})
    (first, most), (_, second) = found.most_common(2)
    return first if most > second and most >= _LEAST else LATIN


def _foreign(memories: Sequence[str], said: Sequence[str]) -> tuple[str, ...]:
    """The memories in another language than all of `said`; what is unclear counts as the same."""
    spoken = {tongue(one) for one in said}
    if spoken & _FUNCTION_WORDS.keys():
        spoken.add(LATIN)
    elif LATIN in spoken:
        spoken |= _FUNCTION_WORDS.keys()
    return tuple(one for one in memories if (own := tongue(one)) and own not in spoken)


def _holds(held: frozenset[str], wording: str) -> bool:
    return held.issuperset(_ANALYZER.terms(wording))
