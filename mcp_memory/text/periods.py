"""Periods: the time that a question asks about, and the dates that a text names. By patterns, without guessing."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache, lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Final, NamedTuple


class Period(NamedTuple):
    """A half-open interval in microseconds since the epoch, UTC, and the phrase that said it."""

    since: int
    until: int
    words: str


def _table(words: str) -> dict[str, int]:
    """Each word with the number of its group, from 1."""
    return {word: number for number, group in enumerate(words.split("|"), 1) for word in group.split()}


def _any(words: Iterable[str]) -> str:
    """A pattern of those of `words` in Latin script, by their first letters, so that few are tried at each place."""
    initials = groupby(sorted(word for word in words if word < "ɐ"), itemgetter(0))
    return "(?:" + "|".join(f"{first}(?:{'|'.join(word[1:] for word in group)})" for first, group in initials) + ")"


@cache
def _compiled(*patterns: str) -> re.Pattern[str]:
    """Any of `patterns`, on first use; # in a group's name becomes the pattern's number: no name may stand twice."""
    return re.compile("|".join(pattern.replace("#", str(number)) for number, pattern in enumerate(patterns)))


_Days = tuple[date, date]  # the first, and the one after the last
_DAY, _WEEK, _MONTH, _YEAR = range(1, 5)
_LENGTHS: Final = {_DAY: 1, _WEEK: 7, _MONTH: 30.44, _YEAR: 365.24}  # days
_MONTHS: Final = _table(
    """january januar jänner janvier enero jan | february februar février fevrier febrero feb | march märz mars marzo
    mar | april avril abril apr | may mai mayo | june juni juin junio jun | july juli juillet julio jul | august août
    aout agosto aug | september septembre septiembre sept sep | october oktober octobre octubre oct okt | november
    novembre noviembre nov | december dezember décembre decembre diciembre dec dez"""
)
_WEEKDAYS: Final = _table(
    """monday montag lundi lunes | tuesday dienstag mardi martes | wednesday mittwoch mercredi miércoles | thursday
    donnerstag jeudi jueves | friday freitag vendredi viernes | saturday samstag sonnabend samedi sábado | sunday
    sonntag dimanche domingo"""
)
_NUMBERS: Final = _table(
    """a one ein eine einem einer einen un une una 一 | two zwei deux dos 二 两 | three drei trois tres 三 | four vier
    quatre cuatro 四 | five fünf cinq cinco 五 | six sechs seis 六 | seven sieben sept siete 七 | eight acht huit ocho
    八 | nine neun neuf nueve 九 | ten zehn dix diez 十 | eleven elf onze once 十一 | twelve zwölf douze doce 十二"""
)
_UNITS: Final = _table(
    """day days tag tage tagen jour jours día días dia dias 天 | week weeks woche wochen semaine semaines semana semanas
    周 星期 个星期 礼拜 个礼拜 | month months monat monate monaten mois mes meses 月 个月 | year years jahr jahre jahren
    année an ans año años 年"""
)
_RELATIVE: Final = _table("today heute aujourd'hui hoy 今天 | yesterday gestern hier ayer 昨天")
_S: Final = r"\s{1,3}"  # bounded, as is every repetition here: a search costs at most a constant for each character
_M: Final = _any(_MONTHS) + r"\b(?:\.(?=\s?\d))?"
_K, _U, _N = _any(_WEEKDAYS), _any(_UNITS), rf"(?:\d{{1,3}}|{_any(_NUMBERS)})"
_LAST, _THIS = r"last|previous|(?:letzt|vorig|vergangen)e[nmrs]?", r"this|diese[nmrs]?|cette|ce|esta|este"
_PAST, _W = r"derni[eè]re?|passée?|pasad[oa]", "(?:week|month|year|woche|monat|jahr|semaine|mois|année|semana|mes|año)"
_NO_YEAR: Final = "people|users|words|items|pages|points|steps|miles|k?m|dollars|euros?|days|hours|uhr|k?cal"
_Y: Final = rf"\d{{4}}\b(?![.,:]\d|\s?(?:[%€$]|(?:{_NO_YEAR})\b))"
_START, _END = r"(?<![a-z\d_./-])", r"(?:(?=t\d)|(?![a-z\d_/-]|\.[a-z\d]))"  # of no path, version or name
_D, _TH = r"(?P<d#>0?[1-9]|[12]\d|3[01])", "st|nd|rd|th"
_NUMERIC: Final = (
    rf"{_START}(?P<y#>\d{{4}})(?P<s#>[-/])(?P<m#>0?[1-9]|1[0-2])(?P=s#){_D}{_END}",
    rf"{_START}{_D}\.\s?(?P<m#>0?[1-9]|1[0-2])\.\s?(?P<y#>\d{{4}}){_END}",
)
_DAY_FIRST: Final = rf"(?<![\w.,:]){_D}(?:{_TH}|er|\.)?[\s-]{{1,3}}(?P<o#>(?:of|de){_S})?(?P<m#>{_M})"
_MONTH_FIRST: Final = rf"\b(?P<m#>{_M})[\s-]{{1,3}}(?:the\s)?{_D}(?:(?:{_TH})\b|(?![\w:]|\.\d))"
_THEN_YEAR: Final = rf"(?:,\s{{0,3}}|(?:{_S}(?:of|del?))?[\s-]{{1,3}})(?P<y#>{_Y})"
_MONTH_YEAR: Final = rf"\b(?P<m#>{_M}){_THEN_YEAR}"
_HAN_MONTH: Final = rf"(?P<m#>0?[1-9]|1[0-2]|十[一二]?|[一二三四五六七八九])\s?月(?:\s?{_D}\s?[日号號])?"
_HAN_N, _HAN_U = r"\d{1,3}|[一二两三四五六七八九十]", r"(?:天|周|年|个?(?:星期|礼拜)|个月)"
_HAN_DATE: Final = rf"(?<!\d)(?P<y#>\d{{4}})\s?年\s?{_HAN_MONTH}"
_DATES: Final = (*_NUMERIC, _DAY_FIRST + _THEN_YEAR, _MONTH_FIRST + _THEN_YEAR, _MONTH_YEAR, _HAN_DATE)
_PHRASES: Final = (
    # x: not one past time; y, m, d: a date, o joins day and month, t or p is its year's "last"; h: a Han sign says so
    rf"(?P<x#>\b(?:tomorrow|demain|(?:every|each|jedes|chaque|cada){_S}(?:year|jahr|année|año|{_M}))\b|明[天年]|每年)",
    rf"(?P<x#>\b(?:(?:next|nächste[nrs]?){_S}(?:{_U}|{_M})|(?:{_U}|{_M}){_S}(?:prochaine?|próxim[oa]))\b|下个?[周月星礼])",
    *(*_NUMERIC, f"{_DAY_FIRST}(?:{_THEN_YEAR})?", f"{_MONTH_FIRST}(?:{_THEN_YEAR})?", _MONTH_YEAR),
    rf"\b(?P<m#>{_M})(?!{_S}{_U}\b)(?:(?:{_S}of)?{_S}(?P<t#>last|this){_S}year\b|{_S}(?P<p#>{_PAST})\b)?",
    rf"(?<![\w.,$€£/-])(?P<y#>{_Y})",
    rf"(?<!\d)(?P<y#>\d{{4}}|今|去)\s?(?P<h#>年)(?![级龄代])(?:\s?{_HAN_MONTH})?",
    rf"(?<![\d一二两三四五六七八九十个])(?P<h#>){_HAN_MONTH}",
    # a: a day; w: this or last (t, p) week, month, year; k: last weekday; n: that many units ago (u), the last ones (v)
    r"(?P<a#>\b(?:today|heute|aujourd'hui|hoy(?!\sen\sd)|yesterday|gestern|hier|ayer)\b|今天|昨天)",
    rf"\b(?P<t#>{_LAST}|{_THIS}|past){_S}(?P<w#>{_W})\b",
    rf"\b(?P<w#>{_W}|an){_S}(?P<p#>{_PAST})\b",
    rf"\b(?:{_LAST}|past){_S}(?P<k#>{_K})\b",
    rf"\b(?P<k#>{_K}){_S}(?:{_PAST})\b",
    r"(?<![上早晚马])(?P<t#>[上这本])(?:一?个)?(?P<w#>月|(?:周|星期|礼拜)(?!末))",
    rf"(?<![-.,])(?<!over\s)(?<!half\s)(?<!twenty\s)(?<!thirty\s)\b(?P<n#>{_N}){_S}(?P<u#>{_U}){_S}ago\b",
    rf"\b(?:vor|il{_S}y{_S}a|hace){_S}(?P<n#>{_N}){_S}(?P<u#>{_U})\b",
    rf"(?<![\d.一二两三四五六七八九十百几])(?P<n#>{_HAN_N})\s?(?P<u#>{_HAN_U})[以之]?前",
    rf"\b(?:last|past|letzten|[uú]ltim[oa]s|[cl]es(?={_S}\w{{1,9}}{_S}der)){_S}(?P<n#>{_N}){_S}(?:derni[eè]re?s{_S})?(?P<v#>{_U})\b",
    rf"(?:最近|过去)的?\s?(?P<n#>{_HAN_N})\s?(?P<v#>{_HAN_U})",
)
_HINT: Final = (
    rf"\b{_any([*_MONTHS, *_UNITS, *_WEEKDAYS, *_RELATIVE])}\b|\d{{4}}|[年月周天星礼]"  # stands in every phrase
)
_LEAD: Final = (
    rf"(?:\b(?P<since>since|seit|depuis|desde){_S})?(?:\b(?:(?P<within>in|during|im|en|durante)|(?P<on>on|am)){_S})?"
    rf"(?:\b(?:(?P<the>the)|de[rnm]|l[ae]|el|los){_S}|\bl')?(?:\b(?P<part>early|late|mid|last|this|letzten|diesen"
    rf"|(?:end|start|beginning|middle|rest|month){_S}of|anfang|mitte|ende|début|fin|finales{_S}de)[\s-]{{1,3}})?"
    rf"(?:\b(?P<of>of){_S})?(?:\b(?:the{_S})?(?P<year>year|jahre?|année|an|año){_S})?\Z"
)
_SPOILT_BEFORE: Final = (
    r"(?:\b(?:before|after|until|till|by|and|or|to|than|not|except|between|as|vor|nach|bis|ab|und|oder|avant|après|jusqu"
    r"|au|et|ou|antes|después|hasta|al|y|o)(?:'\w{1,2})?\s{1,3}(?:(?:the|de[rnml]?|l[ae]|el|du)\s{1,3}|l')?"
    r"|[–—/~-]\s?|[自从到至])\Z"
)
_SPOILT_AFTER: Final = (
    rf"\s{{0,3}}(?:[–—~/-]|\b(?:to|and|or|through|until|till|bis|und|oder|à|au|et|ou|al?|y|o)\b|[和或到至])\s{{0,3}}"
    rf"(?:(?:the|in){_S})?(?:\d|{_M})|{_S}(?:of\b|onwards?\b|or{_S}(?:later|earlier|before|so)\b)"
    r"|之前|之后|以前|以后|以来|至今|(?<=[年月周日号號])[前后起]"
)
_FRENCH: Final = r"\b(?:(?:que|qui|il|elle|nous|l[ae]|les|une?|est|mon|ma|où|à|soir)\b|(?:qu|[jldcs])')"
_VERB: Final = r"(?<=may)\s{1,3}(?:be|not|have|also|i|we|you|he|she|it|they)\b"


def asked(query: str, now: int, zone: tzinfo | None) -> Period | None:
    """The one period that `query` names, in whole days of `zone` (None: the system's); None: none, several, unclear.

    `now`, in microseconds since the epoch, decides relative words. Weeks begin on Monday. "N weeks ago" is that whole
    week, likewise months and years; "the last N weeks" ends with today, as does "since". A month, or a day without a
    year, is the latest that has begun. Dates are of 1900 to 2100.
    """
    if _compiled(_HINT).search(_folded(query)) is None:
        return None
    try:
        today = datetime.fromtimestamp(now // 1_000_000, UTC).astimezone(zone).date()
        named = list(_named(query, today))
        if len({days for days, _ in named}) != 1 or (days := named[0][0]) is None:
            return None
        since, until = (_start(day, zone) for day in days)
        return Period(since, until, named[0][1]) if since < until else None  # equal: a day that the zone left out
    except (ValueError, OverflowError, OSError):  # beyond what the calendar or the system's zone knows
        return None


@lru_cache(4_096)
def mentioned(text: str) -> tuple[tuple[int, int], ...]:
    """The first 8 dates with a year in `text`, as half-open UTC days or months in microseconds since the epoch."""
    dates = (_date(_parts(match), date.min) for match in _compiled(*_DATES).finditer(_folded(text)))
    distinct = dict.fromkeys(days for days in dates if days)
    return tuple((_start(first, UTC), _start(after, UTC)) for first, after in islice(distinct, 8))


def _named(query: str, today: date) -> Iterator[tuple[_Days | None, str]]:
    """Every period that `query` names, None for an unclear one, with its phrase; of the first 64 candidates."""
    lead_of, spoilt_before, spoilt_after = _compiled(_LEAD), _compiled(_SPOILT_BEFORE), _compiled(_SPOILT_AFTER)
    for match in islice(_compiled(*_PHRASES).finditer(text := _folded(query)), 64):
        lead = lead_of.search(text, max(0, match.start() - 48), match.start())
        if lead is None or not _is_meant(query, match, parts := _parts(match) | _parts(lead)):
            continue
        start, words = lead.start(), query[lead.start() : match.end()].strip()
        spoilt = spoilt_before.search(text, max(0, start - 24), start) or spoilt_after.match(text, match.end())
        if "x" in parts or spoilt:
            yield None, words
        elif days := _days(parts, today):
            to_date = (days[0], today + timedelta(1)) if days[0] <= today else None
            yield (to_date if "since" in parts else days), words


def _folded(text: str) -> str:
    """`text` in lower case, every character in its place, without the planet Mars: the French write "mars"."""
    return text.replace("İ", "I").replace("’", "'").replace("Mars", "____").lower()


def _parts(match: re.Match[str]) -> dict[str, str]:
    """What groups matched, by their names without numbers."""
    return {key.rstrip("0123456789"): text.rstrip(".") for key, text in match.groupdict().items() if text is not None}


def _is_meant(query: str, match: re.Match[str], parts: dict[str, str]) -> bool:
    """Whether a match means a time: "hier" is not German, four digits are a year, "may" is a month."""
    if "h" in parts or parts.keys().isdisjoint({"m", "y"}):
        return parts.get("a") != "hier" or _compiled(_FRENCH).search(match.string) is not None
    part, within, the = parts.get("part", ""), not parts.keys().isdisjoint({"since", "within"}), "the" in parts
    if "m" not in parts:
        return part.endswith("of") or ((within or "of" in parts) and (not the or part != "" or "year" in parts))
    if parts.keys().isdisjoint({"d", "y", "t", "p"}) and not part and (the or not within):
        return False
    if "y" in parts or parts["m"] not in {"may", "march"}:
        return True
    title, firm = "Ma" in query[match.start() : match.end()], within or "on" in parts
    inside = query[max(0, match.start() - 4) : match.start()].rstrip()[-1:] not in ".!?:"
    ends = not query[match.end() : match.end() + 2].strip(" .,;:!?)")
    clear = firm or "o" in parts or (title and inside) or ends
    return (title and (firm or part not in {"", "this"})) or (
        clear and not _compiled(_VERB).match(match.string, match.end())
    )


def _days(parts: dict[str, str], today: date) -> _Days | None:
    if parts.keys() & {"y", "m"}:
        return _date(parts, today)
    unit = _UNITS.get(parts.get("u") or parts.get("v") or parts.get("w", ""), _DAY)
    number = _NUMBERS.get(parts.get("n", "one")) or int(parts["n"])
    if "v" in parts or parts.get("t") == "past" or ("the" in parts and parts.get("t") == "last"):
        return today - timedelta(int(number * _LENGTHS[unit])), today + timedelta(1)
    if "w" in parts:
        number = 0 if parts.get("t", "").startswith(("this", "dies", "ce", "est", "这", "本")) else 1
    elif "k" in parts:
        number = (today.isoweekday() - _WEEKDAYS[parts["k"]] - 1) % 7 + 1
    elif "a" in parts:
        number = _RELATIVE[parts["a"]] - 1
    return _unit(today, unit, number)


def _date(parts: dict[str, str], today: date) -> _Days | None:
    """The year, month or day of a date; without a year the latest that has begun, or ended if it is called the last."""
    name, part, years = parts.get("m", "0"), parts.get("part", ""), {"今": 0, "this": 0, "去": 1, "last": 1}
    month, day = _MONTHS.get(name) or _NUMBERS.get(name) or int(name), int(parts.get("d", "0"))
    if year := parts.get("y") or parts.get("t") or ("this" if part in {"this", "diesen"} else ""):
        return _span(today.year - years[year] if year in years else int(year), month, day)
    ended = "p" in parts or part in {"last", "letzten"}
    spans = (_span(today.year - back, month, day) for back in range(9))
    return next((days for days in spans if days and days[ended] <= today), None)


def _unit(today: date, unit: int, back: int) -> _Days | None:
    """The whole day, ISO week, month or year that lies `back` units before that of `today`."""
    if unit <= _WEEK:
        first = today - timedelta(back if unit == _DAY else today.weekday() + 7 * back)
        return first, first + timedelta(_LENGTHS[unit])
    months = today.year * 12 + today.month - 1 - back
    return _span(today.year - back) if unit == _YEAR else _span(months // 12, months % 12 + 1)


def _span(year: int, month: int = 0, day: int = 0) -> _Days | None:
    """A year, a month of it, or a day of that; None where the calendar has none, or before 1900 or after 2100."""
    try:
        first, last = date(year, month or 1, day or 1), month or 12
    except ValueError:
        return None
    after = first + timedelta(1) if day else date(year + last // 12, last % 12 + 1, 1)
    return (first, after) if 1900 <= year <= 2100 else None


def _start(day: date, zone: tzinfo | None) -> int:
    """The first moment of `day` in `zone`; where clocks skip midnight, the moment of the change."""
    start = datetime.combine(day, time(), zone)
    return ((start if zone else start.astimezone()) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
