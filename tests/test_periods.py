"""The time that a question asks about and the dates that a text names: tables of phrases, zones and what is unclear."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcp_memory.text import Period, asked, mentioned

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
WEDNESDAY = datetime(2024, 5, 15, 12, tzinfo=UTC)
MONTHS = "january february march april may june july august september october november december".split()


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def day_start(text: str) -> int:
    return micros(datetime.combine(date.fromisoformat(text), time(), UTC))


def ask(query: str, now: datetime = WEDNESDAY, zone: tzinfo | None = UTC) -> Period | None:
    return asked(query, micros(now), zone)


def days_of(period: Period | None) -> str | None:
    """First and last day of a period in UTC, as `2024-05-14` or `2024-05-06/2024-05-12`."""
    if period is None:
        return None
    first, after = (EPOCH + timedelta(microseconds=moment) for moment in period[:2])
    assert first.time() == after.time() == time()
    last = after - timedelta(days=1)
    return str(first.date()) if first == last else f"{first.date()}/{last.date()}"


ENGLISH = [
    ("What did alice do yesterday?", "2024-05-14"),
    ("bob's plan for today's workout", "2024-05-15"),
    ("What happened this week?", "2024-05-13/2024-05-19"),
    ("What happened last week?", "2024-05-06/2024-05-12"),
    ("the previous week's notes", "2024-05-06/2024-05-12"),
    ("this month", "2024-05-01/2024-05-31"),
    ("LAST MONTH", "2024-04-01/2024-04-30"),
    ("this year", "2024-01-01/2024-12-31"),
    ("Where did alice travel last year?", "2023-01-01/2023-12-31"),
    ("What did I say last Monday?", "2024-05-13"),
    ("last Wednesday", "2024-05-08"),
    ("this past Sunday", "2024-05-12"),
    ("3 days ago", "2024-05-12"),
    ("a week ago", "2024-05-06/2024-05-12"),
    ("about two weeks ago", "2024-04-29/2024-05-05"),
    ("3 months ago", "2024-02-01/2024-02-29"),
    ("Where did alice move from 4 years ago?", "2020-01-01/2020-12-31"),
    ("in the last 3 days", "2024-05-12/2024-05-15"),
    ("in the past two weeks", "2024-05-01/2024-05-15"),
    ("over the last 2 months", "2024-03-16/2024-05-15"),
    ("last 10 days", "2024-05-05/2024-05-15"),
    ("in the last week", "2024-05-08/2024-05-15"),
    ("the past year", "2023-05-16/2024-05-15"),
    ("since March 2024", "2024-03-01/2024-05-15"),
    ("What changed since yesterday?", "2024-05-14/2024-05-15"),
    ("since last week", "2024-05-06/2024-05-15"),
    ("since April", "2024-04-01/2024-05-15"),
    ("since 2023", "2023-01-01/2024-05-15"),
    ("since 3 weeks ago", "2024-04-22/2024-05-15"),
    ("in May 2023", "2023-05-01/2023-05-31"),
    ("What did alice paint in May?", "2024-05-01/2024-05-31"),
    ("camping in June", "2023-06-01/2023-06-30"),
    ("in Dec.", "2023-12-01/2023-12-31"),
    ("last May", "2023-05-01/2023-05-31"),
    ("last April", "2024-04-01/2024-04-30"),
    ("this June", "2024-06-01/2024-06-30"),
    ("in early June", "2023-06-01/2023-06-30"),
    ("in mid-May", "2024-05-01/2024-05-31"),
    ("at the end of May 2023", "2023-05-01/2023-05-31"),
    ("in May last year", "2023-05-01/2023-05-31"),
    ("March of this year", "2024-03-01/2024-03-31"),
    ("How often was bob at the beach in 2023?", "2023-01-01/2023-12-31"),
    ("during 2023", "2023-01-01/2023-12-31"),
    ("the spring of 2023", "2023-01-01/2023-12-31"),
    ("in the year 2023", "2023-01-01/2023-12-31"),
    ("bob's plans at the end of 2023", "2023-01-01/2023-12-31"),
    ("on 8 May 2023", "2023-05-08"),
    ("May 8th, 2023", "2023-05-08"),
    ("may 8 2023", "2023-05-08"),
    ("the 8th of May, 2023", "2023-05-08"),
    ("on October 13, 2023", "2023-10-13"),
    ("on December 1,2023", "2023-12-01"),
    ("2023-05-08", "2023-05-08"),
    ("at 2023-05-08T10:30", "2023-05-08"),
    ("2023/05/08", "2023-05-08"),
    ("on 8 May", "2024-05-08"),
    ("what did the 8th of may bring", "2024-05-08"),
    ("on May 16", "2023-05-16"),
    ("on 29 February", "2024-02-29"),
    ("yesterday, that is on 14 May 2024", "2024-05-14"),
]
CHINESE = [
    ("我昨天做了什么？", "2024-05-14"),
    ("今天", "2024-05-15"),
    ("本周", "2024-05-13/2024-05-19"),
    ("这个星期", "2024-05-13/2024-05-19"),
    ("我上周拿到了一本绘本", "2024-05-06/2024-05-12"),
    ("上个月", "2024-04-01/2024-04-30"),
    ("今年", "2024-01-01/2024-12-31"),
    ("去年夏天", "2023-01-01/2023-12-31"),
    ("2023年5月", "2023-05-01/2023-05-31"),
    ("2023年", "2023-01-01/2023-12-31"),
    ("2023年12月13日", "2023-12-13"),
    ("去年五月", "2023-05-01/2023-05-31"),
    ("十二月", "2023-12-01/2023-12-31"),
    ("三天前", "2024-05-12"),
    ("3个月前", "2024-02-01/2024-02-29"),
    ("最近7天", "2024-05-08/2024-05-15"),
]
GERMAN = [
    ("Was habe ich gestern gesagt?", "2024-05-14"),
    ("heute", "2024-05-15"),
    ("diese Woche", "2024-05-13/2024-05-19"),
    ("letzte Woche", "2024-05-06/2024-05-12"),
    ("in der letzten Woche", "2024-05-06/2024-05-12"),
    ("letzten Monat", "2024-04-01/2024-04-30"),
    ("letztes Jahr", "2023-01-01/2023-12-31"),
    ("letzten Montag", "2024-05-13"),
    ("im Mai 2023", "2023-05-01/2023-05-31"),
    ("im Mai", "2024-05-01/2024-05-31"),
    ("IM MÄRZ", "2024-03-01/2024-03-31"),
    ("seit März 2024", "2024-03-01/2024-05-15"),
    ("am 8. Mai 2023", "2023-05-08"),
    ("am 08.05.2023", "2023-05-08"),
    ("im Jahr 2023", "2023-01-01/2023-12-31"),
    ("vor zwei Wochen", "2024-04-29/2024-05-05"),
    ("in den letzten 3 Tagen", "2024-05-12/2024-05-15"),
]
FRENCH = [
    ("Qu’ai-je fait hier ?", "2024-05-14"),
    ("aujourd’hui", "2024-05-15"),
    ("cette semaine", "2024-05-13/2024-05-19"),
    ("la semaine dernière", "2024-05-06/2024-05-12"),
    ("le mois dernier", "2024-04-01/2024-04-30"),
    ("l'année dernière", "2023-01-01/2023-12-31"),
    ("l'an dernier", "2023-01-01/2023-12-31"),
    ("lundi dernier", "2024-05-13"),
    ("en mai 2023", "2023-05-01/2023-05-31"),
    ("en mai dernier", "2023-05-01/2023-05-31"),
    ("en août", "2023-08-01/2023-08-31"),
    ("depuis mars 2024", "2024-03-01/2024-05-15"),
    ("le 1er mai 2023", "2023-05-01"),
    ("il y a 3 jours", "2024-05-12"),
    ("ces 3 derniers jours", "2024-05-12/2024-05-15"),
]
SPANISH = [
    ("¿Qué hice ayer?", "2024-05-14"),
    ("hoy", "2024-05-15"),
    ("esta semana", "2024-05-13/2024-05-19"),
    ("la semana pasada", "2024-05-06/2024-05-12"),
    ("el mes pasado", "2024-04-01/2024-04-30"),
    ("el año pasado", "2023-01-01/2023-12-31"),
    ("en mayo de 2023", "2023-05-01/2023-05-31"),
    ("desde marzo de 2024", "2024-03-01/2024-05-15"),
    ("el 8 de mayo de 2023", "2023-05-08"),
    ("en 2023", "2023-01-01/2023-12-31"),
    ("hace tres días", "2024-05-12"),
    ("en los últimos 7 días", "2024-05-08/2024-05-15"),
]


@pytest.mark.parametrize(("query", "days"), [*ENGLISH, *CHINESE, *GERMAN, *FRENCH, *SPANISH])
def test_a_question_names_the_days_it_asks_about(query: str, days: str) -> None:
    assert days_of(ask(query)) == days


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("form", ["in {} 2023", "on 5 {} 2023", "{} 5th, 2023"])
def test_every_month_is_known_by_its_name_and_its_first_letters(form: str, number: int) -> None:
    named = [days_of(ask(form.format(word))) for word in (MONTHS[number], MONTHS[number][:3], MONTHS[number].title())]
    assert len(set(named)) == 1
    assert f"2023-{number + 1:02}-" in str(named[0])


NOTHING = [
    pytest.param("What is alice's favourite colour?", id="no time at all"),
    pytest.param("", id="no text"),
    pytest.param("May I ask what bob likes?", id="may as a verb"),
    pytest.param("it may be that", id="may in a clause"),
    pytest.param("this may help", id="this before a verb"),
    pytest.param("This May be wrong", id="a verb with a capital"),
    pytest.param("how long can it last may I ask", id="last before a verb"),
    pytest.param("the state I am in may i ask", id="in before a verb"),
    pytest.param("May 8 people come?", id="a verb before a number"),
    pytest.param("What may 8 people eat?", id="a verb before a number, inside"),
    pytest.param("the 8th may be late", id="a verb after a number"),
    pytest.param("march on", id="march as a verb"),
    pytest.param("the last march on Washington", id="march as a noun"),
    pytest.param("in the march of progress", id="march as a noun after in the"),
    pytest.param("in the June issue", id="a month that describes"),
    pytest.param("tomorrow", id="tomorrow"),
    pytest.param("next week", id="next week"),
    pytest.param("nächste Woche", id="next week in German"),
    pytest.param("la semaine prochaine", id="next week in French"),
    pytest.param("明天", id="tomorrow in Chinese"),
    pytest.param("下周", id="next week in Chinese"),
    pytest.param("What is April's opinion of June?", id="people"),
    pytest.param("the Mars 2020 rover", id="a planet"),
    pytest.param("one second, after the fall", id="second and fall"),
    pytest.param("last second of the fall", id="last second"),
    pytest.param("room 2023", id="a number of a room"),
    pytest.param("2023", id="a bare number"),
    pytest.param("in 2023 words", id="a number that counts"),
    pytest.param("in 1023", id="before 1900"),
    pytest.param("in 2101", id="after 2100"),
    pytest.param("in 2023.5 or 2,023 or $2023", id="other numbers"),
    pytest.param("in the 2023 season", id="a number that is a name"),
    pytest.param("report-2023-05-08.pdf", id="a file"),
    pytest.param("v2023.05.08 of ISO-2023-05-08-1", id="names"),
    pytest.param("on 05/08/2023", id="month first or day first"),
    pytest.param("on 31 February 2023", id="no such day"),
    pytest.param("the one-year-old child", id="an age"),
    pytest.param("a few days ago", id="no number"),
    pytest.param("Was ist hier passiert?", id="hier in German"),
    pytest.param("hier", id="hier alone"),
    pytest.param("hoy en día", id="hoy en día"),
    pytest.param("目前天气", id="Chinese signs that meet by chance"),
    pytest.param("上周末", id="a Chinese weekend"),
    pytest.param("上上周", id="the week before the last in Chinese"),
    pytest.param("1990年代", id="a decade"),
    pytest.param("en sept jours", id="sept as a number"),
]
UNCLEAR = [
    pytest.param("yesterday or today", id="two days"),
    pytest.param("last week and this week", id="two weeks"),
    pytest.param("昨天和今天", id="two days in Chinese"),
    pytest.param("in May and June", id="two months"),
    pytest.param("from May to July 2023", id="a span"),
    pytest.param("May-July 2023", id="a span with a hyphen"),
    pytest.param("in 2023 and 2024", id="two years"),
    pytest.param("in 2023/24", id="a season"),
    pytest.param("8-10 May 2023", id="days before a month"),
    pytest.param("May 8-10, 2023", id="days after a month"),
    pytest.param("del 8 al 10 de mayo de 2023", id="days in Spanish"),
    pytest.param("before 8 May 2023", id="before"),
    pytest.param("after May 2023", id="after"),
    pytest.param("until last week", id="until"),
    pytest.param("as of today", id="as of"),
    pytest.param("the day before yesterday", id="the day before yesterday"),
    pytest.param("last weekend before April 10, 2023", id="a weekend before a day"),
    pytest.param("two weeks before August 11, 2023", id="weeks before a day"),
    pytest.param("vor dem 8. Mai 2023", id="before in German"),
    pytest.param("avant-hier avec elle", id="the day before yesterday in French"),
    pytest.param("2023年之前", id="before in Chinese"),
    pytest.param("the last week of May 2023", id="a part"),
    pytest.param("2-3 weeks ago", id="a range ago"),
    pytest.param("two or three weeks ago", id="a range ago in words"),
    pytest.param("half a year ago", id="half"),
    pytest.param("more than 3 weeks ago", id="more than"),
    pytest.param("over 3 weeks ago", id="over"),
    pytest.param("twenty two days ago", id="a number in two words"),
    pytest.param("二十天前", id="a Chinese number in two signs"),
    pytest.param("every year in May", id="every year"),
    pytest.param("in May next year", id="next year"),
    pytest.param("this year or next year", id="this or next"),
    pytest.param("since 2090", id="since a time to come"),
    pytest.param("May 2023 onwards", id="onwards"),
]


@pytest.mark.parametrize("query", NOTHING)
def test_a_question_that_names_no_time_gives_none(query: str) -> None:
    assert ask(query) is None


@pytest.mark.parametrize("query", UNCLEAR)
def test_a_question_that_names_a_time_unclearly_gives_none(query: str) -> None:
    assert ask(query) is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("What did alice do yesterday?", "yesterday"),
        ("What changed since March 2024, bob?", "since March 2024"),
        ("Who came in the last  2 weeks?", "in the last  2 weeks"),
        ("on May 8th, 2023 alice", "on May 8th, 2023"),
        ("İstanbul in May 2023", "in May 2023"),
        ("Qu'a dit bob l’an dernier ?", "l’an dernier"),
        ("我上个月去了", "上个月"),
        ("yesterday, 14 May 2024", "yesterday"),
    ],
)
def test_the_phrase_is_given_as_it_was_written(query: str, words: str) -> None:
    period = ask(query)
    assert period is not None
    assert period.words == words


@pytest.mark.parametrize(
    ("now", "query", "days"),
    [
        ("2024-01-01", "yesterday", "2023-12-31"),
        ("2024-01-01", "last month", "2023-12-01/2023-12-31"),
        ("2024-01-01", "last week", "2023-12-25/2023-12-31"),
        ("2024-01-01", "this week", "2024-01-01/2024-01-07"),
        ("2023-01-01", "this week", "2022-12-26/2023-01-01"),
        ("2023-01-01", "last week", "2022-12-19/2022-12-25"),
        ("2024-12-31", "this week", "2024-12-30/2025-01-05"),
        ("2024-12-31", "this month", "2024-12-01/2024-12-31"),
        ("2024-01-31", "2 months ago", "2023-11-01/2023-11-30"),
        ("2024-12-15", "12 months ago", "2023-12-01/2023-12-31"),
        ("2024-05-12", "this week", "2024-05-06/2024-05-12"),
        ("2024-05-13", "this week", "2024-05-13/2024-05-19"),
        ("2024-05-12", "last Sunday", "2024-05-05"),
        ("2024-05-13", "last Sunday", "2024-05-12"),
        ("2024-03-01", "yesterday", "2024-02-29"),
        ("2023-03-01", "yesterday", "2023-02-28"),
        ("2024-04-30", "in May", "2023-05-01/2023-05-31"),
        ("2024-05-01", "in May", "2024-05-01/2024-05-31"),
        ("2024-05-31", "last May", "2023-05-01/2023-05-31"),
        ("2024-06-01", "last May", "2024-05-01/2024-05-31"),
        ("2024-01-10", "in December", "2023-12-01/2023-12-31"),
        ("2024-05-08", "on 8 May", "2024-05-08"),
        ("2024-05-07", "on 8 May", "2023-05-08"),
        ("2023-06-01", "on 29 February", "2020-02-29"),
        ("2024-01-02", "in the last 3 days", "2023-12-30/2024-01-02"),
        ("2024-01-02", "since December", "2023-12-01/2024-01-02"),
    ],
)
def test_relative_words_count_from_today_across_weeks_and_years(now: str, query: str, days: str) -> None:
    noon = datetime.fromisoformat(now).replace(hour=12, tzinfo=UTC)
    assert days_of(ask(query, noon)) == days


@pytest.mark.parametrize(
    ("zone", "now", "query", "since", "hours"),
    [
        ("Europe/Berlin", "2024-05-15T21:59", "today", "2024-05-14T22:00", 24),
        ("Europe/Berlin", "2024-05-15T22:00", "today", "2024-05-15T22:00", 24),
        ("America/Los_Angeles", "2024-05-15T06:59", "today", "2024-05-14T07:00", 24),
        ("Pacific/Kiritimati", "2023-12-31T10:00", "this year", "2023-12-31T10:00", 366 * 24),
        ("Pacific/Kiritimati", "2023-12-31T09:59", "last year", "2021-12-31T10:00", 365 * 24),
        ("Pacific/Honolulu", "2024-01-01T09:59", "this month", "2023-12-01T10:00", 31 * 24),
        ("Asia/Kathmandu", "2024-05-15T18:15", "yesterday", "2024-05-14T18:15", 24),
        ("Pacific/Auckland", "2024-05-12T12:00", "this week", "2024-05-12T12:00", 7 * 24),
        ("Europe/Berlin", "2024-05-15T12:00", "on 31 March 2024", "2024-03-30T23:00", 23),
        ("Europe/Berlin", "2024-11-15T12:00", "on 27 October 2024", "2024-10-26T22:00", 25),
        ("Europe/Berlin", "2024-04-01T12:00", "yesterday", "2024-03-30T23:00", 23),
        ("Europe/Berlin", "2024-04-01T12:00", "last week", "2024-03-24T23:00", 7 * 24 - 1),
        ("America/New_York", "2024-11-04T12:00", "yesterday", "2024-11-03T04:00", 25),
        ("America/Sao_Paulo", "2018-11-05T12:00", "yesterday", "2018-11-04T03:00", 23),
        ("America/Havana", "2023-11-06T12:00", "yesterday", "2023-11-05T04:00", 25),
        ("Australia/Lord_Howe", "2024-04-08T12:00", "yesterday", "2024-04-06T13:00", 24.5),
    ],
)
def test_days_begin_at_midnight_of_the_zone(zone: str, now: str, query: str, since: str, hours: float) -> None:
    period = ask(query, datetime.fromisoformat(now).replace(tzinfo=UTC), ZoneInfo(zone))
    start = micros(datetime.fromisoformat(since).replace(tzinfo=UTC))
    assert period == (start, start + round(hours * 3_600_000_000), query)


def test_a_day_that_the_zone_left_out_is_no_period() -> None:
    assert ask("on 30 December 2011", zone=ZoneInfo("Pacific/Apia")) is None
    assert ask("on 29 December 2011", zone=ZoneInfo("Pacific/Apia")) is not None


@pytest.mark.skipif(sys.platform == "win32", reason="TZ is not read there")
@pytest.mark.parametrize(
    ("system", "since"), [("Europe/Berlin", "2024-05-13T22:00"), ("Asia/Tokyo", "2024-05-13T15:00")]
)
def test_without_a_zone_the_day_is_the_systems(system: str, since: str) -> None:
    code = f"from mcp_memory.text import asked; print(asked('yesterday', {micros(WEDNESDAY)}, None).since)"
    environment = {**os.environ, "TZ": system}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == micros(datetime.fromisoformat(since).replace(tzinfo=UTC))


@pytest.mark.parametrize("now", [-(10**30), -(10**17), 10**18, 10**30])
def test_a_clock_beyond_the_calendar_gives_none(now: int) -> None:
    assert asked("yesterday", now, UTC) is None


MENTIONED: list[tuple[str, list[str]]] = [
    ("8 May 2023", ["2023-05-08"]),
    ("May 8th 2023", ["2023-05-08"]),
    ("May 8, 2023", ["2023-05-08"]),
    ("2023-05-08", ["2023-05-08"]),
    ("2023-05-08T10:30:00Z", ["2023-05-08"]),
    ("2023/05/08", ["2023-05-08"]),
    ("08.05.2023", ["2023-05-08"]),
    ("8. 5. 2023", ["2023-05-08"]),
    ("May 2023", ["2023-05-01/2023-05-31"]),
    ("December 2023", ["2023-12-01/2023-12-31"]),
    ("2023年5月8日", ["2023-05-08"]),
    ("2023年12月", ["2023-12-01/2023-12-31"]),
    ("[1:56 pm on 8 May, 2023] alice: Hi!", ["2023-05-08"]),
    ("[2025-12-20 (Saturday)] bob is saving.", ["2025-12-20"]),
    ("[2023-07-17] Bart看故事书", ["2023-07-17"]),
    ("am 8. Mai 2023", ["2023-05-08"]),
    ("le 1er mai 2023", ["2023-05-01"]),
    ("el 8 de mayo de 2023", ["2023-05-08"]),
    ("moved on 3 June 2022 and back on 2023-01-31", ["2022-06-03", "2023-01-31"]),
    ("8 May 2023, also 2023-05-08 and May 8, 2023", ["2023-05-08"]),
    ("29 February 2024", ["2024-02-29"]),
    ("in 2023", []),
    ("2023年", []),
    ("yesterday, on 8 May", []),
    ("29 February 2023", []),
    ("2023-13-01 2023-00-10 2023-02-30", []),
    ("05/08/2023", []),
    ("10.0.2023.1, v1.2.2023, a/2023-05-08.md, id-2023-05-08", []),
    ("8 May 1899 and 8 May 2101", []),
    ("it may 2000 people", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "days"), MENTIONED)
def test_a_text_mentions_its_dates_with_a_year(text: str, days: list[str]) -> None:
    assert [days_of(Period(*interval, "")) for interval in mentioned(text)] == days


def test_of_many_dates_the_first_eight_are_taken() -> None:
    text = " ".join(f"2023-05-{day:02}" for day in range(1, 29))
    assert [since for since, _ in mentioned(text)] == [day_start(f"2023-05-{day:02}") for day in range(1, 9)]


PIECES = [
    *("in", "on", "since", "the", "last", "this", "of", "a", "may", "May", "march", "mars", "Mars", "early", "end of"),
    *("2023", "31", "0", "99", "999", "days", "weeks", "months", "years", "ago", "past", "year", "week", "monday"),
    *("2023-05-08", "31.02.2023", "2023/1/1", "yesterday", "hier", "la", "vor", "il y a", "hace", "dernier", "pasado"),
    *(
        "上",
        "个",
        "月",
        "周",
        "年",
        "天",
        "前",
        "十",
        "一",
        "今",
        "去",
        "昨天",
        "最近",
        "٣",
        "İ",
        "ı",
        "ſept",
        "\u212a",
    ),
    *("-", ",", ".", "'", "’", ":", "\n", "th", "é", "Ä", "feb", "Sept.", "aujourd’hui", "every", "next", "8", "2100"),
]
ZONES = [None, UTC, BERLIN, ZoneInfo("Pacific/Apia"), ZoneInfo("Pacific/Kiritimati"), ZoneInfo("America/Havana")]
phrases = st.lists(st.sampled_from(PIECES), max_size=12).flatmap(
    lambda pieces: st.sampled_from([" ", "", "  "]).map(lambda blank: blank.join(pieces))
)


@given(
    st.one_of(st.text(), phrases),
    st.datetimes(datetime(1971, 1, 1), datetime(2110, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(ZONES),
)
@example("999 years ago", WEDNESDAY, UTC)
@example("in the last 999 years", WEDNESDAY, UTC)
@example("AUGU\u017fT 8, 2023", WEDNESDAY, UTC)
def test_any_text_gives_a_period_that_has_a_length_or_none(text: str, now: datetime, zone: tzinfo | None) -> None:
    period = ask(text, now, zone)
    assert period is None or (period.since < period.until and period.words in text)


@given(st.one_of(st.text(), phrases))
def test_any_text_mentions_few_intervals_that_have_a_length(text: str) -> None:
    intervals = mentioned(text)
    assert len(set(intervals)) == len(intervals) <= 8
    assert all(since < until for since, until in intervals)


@given(st.dates(date(1900, 1, 1), date(2100, 12, 31)))
def test_a_date_is_read_alike_however_it_is_written(day: date) -> None:
    month = MONTHS[day.month - 1].title()
    written = [
        f"{day}",
        f"{day:%Y/%m/%d}",
        f"{day:%d.%m.%Y}",
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"{day.year}年{day.month}月{day.day}日",
    ]
    for text in written:
        assert [days_of(Period(*interval, "")) for interval in mentioned(text)] == [str(day)]
        assert days_of(ask(f"on {text}")) == str(day)


@pytest.mark.parametrize(
    "piece",
    [
        "in the last ",
        "hier ",
        "1月",
        "May 8 ",
        "8 ",
        "2023-",
        "il y a ",
        "since the end of ",
        "  ",
        "\n",
        "a ",
        "上",
        "-",
    ],
)
def test_long_hostile_text_comes_to_an_end(piece: str) -> None:
    text = f"today {piece * 20_000}"
    asked(text, micros(WEDNESDAY), UTC)
    assert mentioned(text) == ()
