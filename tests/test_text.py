"""Clean-up, terms and times as pure functions: the tables behind "text" and "time" in section 5 of the design."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_memory.text import STOP_WORDS, Analyzer, clean, lone_surrogate, parse_duration, parse_moment

ANALYZER = Analyzer()
terms = ANALYZER.terms


def query_terms(text: str) -> list[str]:
    return list(ANALYZER.query_terms(text))


HOUR = 3_600_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHARACTERS = [
    chr(point)
    for first, last in ((0, 0xD7FF), (0xE000, 0xFFFF), (0x1D400, 0x1D7FF), (0x1F000, 0x1FAFF), (0x2F800, 0x2FA1F))
    for point in range(first, last + 1)
]
"""Where everything stands that decomposes, has a case, or is punctuation of a script without spaces."""

KEPT = [
    pytest.param("می‌خواهم کتاب‌ها را بخوانم", id="Persian with ZWNJ"),
    pytest.param("می‌خواهم\nنمی‌دانم", id="Persian on two lines"),
    pytest.param("क्‍ष और क्‌ष", id="Hindi with ZWJ and ZWNJ after a virama"),
    pytest.param("শ্রী ও র‍্যাব", id="Bengali with ZWJ"),
    pytest.param("ශ්‍රී ලංකාව", id="Sinhala with ZWJ"),
    pytest.param("שָׁלוֹם עולם", id="Hebrew with points"),
    pytest.param("👨‍👩‍👧‍👦 family", id="a family"),
    pytest.param("👩🏽‍🚀 and ❤️‍🔥", id="skin tone, ZWJ and variation selector"),
    pytest.param("🏳️‍🌈🏴‍☠️👁️‍🗨️🙂‍↔️", id="variation selectors before ZWJ"),
    pytest.param("🇩🇪🇯🇵", id="flags"),
    pytest.param("1️⃣ #️⃣ *️⃣", id="keycaps"),
    pytest.param("☀️ ☎︎ ©️ ‼️ ↔️ 〰️ ㊗️", id="variation selectors after symbols"),
    pytest.param("ℹ️ ⤴️ ⤵️ ◻️ ◼️ ◽️ ◾️", id="variation selectors after emoji that are no symbols by category"),
    pytest.param("葛󠄀城市", id="ideographic variation"),
    pytest.param('"quotes", <tags> & 100 % \\ / ~', id="punctuation"),
    pytest.param("one\ntwo\n\nthree", id="newlines"),
    pytest.param("\U0001f9ff\ue000", id="what this Python may not know, and private use"),
]


@pytest.mark.promise("P9")
@pytest.mark.parametrize("text", KEPT)
def test_real_text_is_kept_as_it_is(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


CLEANED = [
    pytest.param("abc\u202egnp.exe", "abcgnp.exe", id="bidi override"),
    pytest.param("\u2067abc\u2069 \u2066d\u2069 \u2068e\u2069", "abc d e", id="bidi isolates"),
    pytest.param("\u202aabc\u202c\u202bd\u202c", "abcd", id="bidi embeddings"),
    pytest.param("hi\U000e0069\U000e0067\U000e006e\U000e007f", "hi", id="tag characters"),
    pytest.param("pass\u200bword\u2060\u2063\ufeff", "password", id="zero width"),
    pytest.param("\ufeffBOM first", "BOM first", id="byte order mark"),
    pytest.param("nul\x00bell\x07esc\x1b[31m\x7f\x85", "nulbellesc[31m", id="controls"),
    pytest.param("a\u200cb \u200d \u200d1", "ab 1", id="joiners between letters that do not join"),
    pytest.param("1 <\u200d> 2 +\ufe0f ^\u200d`\ufe0f", "1 <> 2 + ^`", id="joiners between signs that are no emoji"),
    pytest.param("\u200dمی\u200c \u200dखा\u200c", "می खा", id="joiners at the edge of words"),
    pytest.param("a\ufe0f b\ufe00 c\U000e0101", "a b c", id="selectors that select nothing"),
    pytest.param("☀\ufe0f\ufe0f\u200d\u200d☀", "☀\ufe0f\u200d☀", id="repeated joiners"),
    pytest.param("one\r\ntwo\rthree\u2028four\u2029five", "one\ntwo\nthree\nfour\nfive", id="every kind of newline"),
    pytest.param("  a \t b\u00a0\u3000c  \n  d  ", "a b c\nd", id="blanks are folded, also at line ends"),
    pytest.param("\n\n a\n\n\nb \n\n", "a\n\n\nb", id="newlines inside are kept, outside are not"),
    pytest.param("e\u0301 A\u030a \u1112\u1161\u11ab", "é Å 한", id="NFC"),
    pytest.param("e\u200d\u0301", "é", id="NFC across what was removed"),
    pytest.param(" \u200b\r\n\t\x00", "", id="nothing to see"),
    pytest.param("", "", id="nothing"),
]


@pytest.mark.promise("P9")
@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_what_nobody_can_see_is_cleaned(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.promise("P9")
def test_no_control_bidi_override_zero_width_or_tag_character_gets_through_anywhere() -> None:
    ranges = [
        *((0x00, 0x09), (0x0B, 0x1F), (0x7F, 0x9F), (0x200B, 0x200B), (0x2028, 0x202E)),
        *((0x2060, 0x2064), (0x2066, 0x2069), (0xFEFF, 0xFEFF), (0xE0000, 0xE007F)),
    ]
    hidden = [chr(point) for first, last in ranges for point in range(first, last + 1)]
    for surroundings in ("a{}b", "{}", "م{}م", "👩{}👩", "क्{}ष", "{0}{0}"):
        for char in hidden:
            assert char not in clean(surroundings.format(char)), f"U+{ord(char):04X} in {surroundings}"


AWKWARD = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\u200b\u200c\u200d\ufe0e\ufe0f\U000e0100\u202e\ufeff \n\r\t\u2028\u3000"),
        st.sampled_from("aé1#👩❤☀🏽मषि्می葛\u0301\u0332\u061a\u3099\U0001d15e"),
    ),
    max_size=30,
)


@pytest.mark.promise("P9")
@given(AWKWARD)
@example("\u0332\u061a\u200d\u0619\u102d")  # NFC puts another mark before the joiner
@example("\U0001d15e\ufe0f")  # NFC takes a symbol apart
@example("\u0316\ufe0e\u1037\u200d\u0f40")  # without the selector, NFC puts another mark before the joiner
@settings(max_examples=400, deadline=None, derandomize=True)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(AWKWARD)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_clean_text_is_nfc_without_blanks_at_the_edge_of_lines(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFC", cleaned)
    assert [" ".join(line.split()) for line in cleaned.split("\n")] == cleaned.split("\n")
    assert cleaned == cleaned.strip()


def test_half_a_surrogate_pair_is_recognised() -> None:
    assert lone_surrogate("a\ud800b")
    assert lone_surrogate("\udfff")
    assert not lone_surrogate("a😀\ue000")


TERMS = [
    pytest.param("Running runs ran", ["run", "run", "ran"], id="English is stemmed, repeats kept"),
    pytest.param("The cat is here", ["the", "cat", "is", "here"], id="stop words are terms of a text"),
    pytest.param("2026-03-01 v2.3 1,000", ["2026", "03", "01", "v2", "3", "1", "000", "20260301", "v23"], id="numbers"),
    pytest.param(
        "don't home_city a@b.com", ["don", "t", "home", "citi", "a", "b", "com", "homecity", "abcom"], id="names"
    ),
    pytest.param("北京", ["北", "京", "北京"], id="Chinese: characters and pairs"),
    pytest.param("我爱Python编程", ["我", "爱", "我爱", "python", "编", "程", "编程"], id="Chinese around English"),
    pytest.param("東京、タワー", ["東", "京", "東京", "タ", "ワ", "ー", "タワ", "ワー"], id="Japanese"),
    pytest.param("アン・リー", ["ア", "ン", "アン", "リ", "ー", "リー"], id="a middle dot separates"),
    pytest.param("กาแฟ", ["ก", "า", "แ", "ฟ", "กา", "าแ", "แฟ"], id="Thai"),
    pytest.param("ราคา ฿50", ["ร", "า", "ค", "า", "รา", "าค", "คา", "50"], id="a currency sign is no term"),
    pytest.param("서울", ["서", "울", "서울"], id="Korean: a word of two"),
    pytest.param("서울에", ["서", "울", "에", "서울", "울에", "서울에"], id="Korean: a longer word is a term too"),
    pytest.param("Привет, мир", ["привет", "мир"], id="Cyrillic as it is"),
    pytest.param("हिन्दी भाषा", ["हिन्दी", "भाषा"], id="Hindi keeps its vowel signs"),
    pytest.param("🎉 -- \" ' ( ) * ^ :", [], id="no letters, no terms"),
    pytest.param("", [], id="nothing"),
]


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_terms_of_a_text(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


SAME = [
    pytest.param("Straße", "STRASSE", id="German ß"),
    pytest.param("Größe", "grosse", id="umlauts"),
    pytest.param("cafés", "CAFE", id="accents, then the stem"),
    pytest.param("e\u0301te\u0301", "été", id="composed or not"),
    pytest.param("İstanbul ISTANBUL ıstanbul", "istanbul istanbul istanbul", id="Turkish i"),
    pytest.param("ＡＢＣ１２３", "abc123", id="full width"),
    pytest.param("ﬁnance", "finance", id="ligature"),
    pytest.param("ﾀﾜｰ", "タワー", id="half-width kana"),
    pytest.param("ΟΔΟΣ", "οδος", id="final sigma"),
    pytest.param("كَتَبَ", "كتب", id="Arabic vowel points"),
    pytest.param("שָׁלוֹם", "שלום", id="Hebrew points"),
    pytest.param("𝐇𝐞𝐥𝐥𝐨", "hello", id="mathematical letters"),
    pytest.param("20 ℃", "20 °c", id="a sign that holds a capital"),
    pytest.param("№ 5", "no 5", id="numero sign"),
    pytest.param("x" * 100, "x" * 64, id="very long words by their beginning"),
]


@pytest.mark.parametrize(("text", "same"), SAME)
def test_spellings_that_find_each_other(text: str, same: str) -> None:
    assert terms(text) == terms(same)
    assert terms(text)


@pytest.mark.parametrize(("text", "other"), [("か", "が"), ("कि", "की"), ("v2", "v3"), ("cat", "car")])
def test_spellings_that_are_different_words(text: str, other: str) -> None:
    assert not set(terms(text)) & set(terms(other)) - {"क"}


def allowed(term: str) -> bool:
    """Letters, marks and numbers, and what Unicode may yet make letters of: no punctuation, symbol, blank, control."""
    categories = {unicodedata.category(char) for char in term}
    return bool(term) and all(category[0] in "LMN" or category in {"Cn", "Co"} for category in categories)


def test_no_character_makes_a_term_that_could_be_syntax_or_has_a_case() -> None:
    for char in CHARACTERS:
        for term in terms(char):
            assert allowed(term), f"U+{ord(char):04X}"
            assert term == term.casefold(), f"U+{ord(char):04X}"


@given(AWKWARD)
@example("・")
@example("ア。")
@settings(max_examples=300, deadline=None, derandomize=True)
def test_terms_hold_letters_digits_and_marks_only(text: str) -> None:
    found = terms(clean(text))
    assert all(allowed(term) and len(term) <= 64 for term in found)
    asked = query_terms(clean(text))
    assert len(set(asked)) == len(asked)
    assert set(asked) <= set(found)
    assert bool(asked) == bool(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("What is the name of my cat?", ["name", "cat"], id="stop words are dropped"),
        pytest.param("who am I", ["who", "am", "i"], id="unless nothing else is left"),
        pytest.param("cats and a cat, CATS", ["cat"], id="distinct, in order"),
        pytest.param("AND OR NOT NEAR", ["near"], id="words that FTS5 would read as syntax"),
        pytest.param('content:tea* "green" ^-(x)', ["content", "tea", "green", "x"], id="signs it would read so"),
        pytest.param("北京的北京", ["北", "京", "的", "北京", "京的", "的北"], id="Chinese"),
        pytest.param("?!", [], id="no words"),
    ],
)
def test_terms_of_a_query(query: str, expected: list[str]) -> None:
    assert query_terms(query) == expected


def test_stop_words_are_plain_words() -> None:
    assert all(word.isascii() and word.islower() and word.isalpha() for word in STOP_WORDS)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        *(("12h", 12), ("1d", 24), ("30d", 720), ("2w", 336), ("0d", 0), ("99999w", 99_999 * 168)),
        *((" 30 D ", 720), ("007d", 168), ("5\th", 5)),
        *((nonsense, None) for nonsense in ("", "d", "30", "30m", "1y", "-1d", "1.5d", "+1d", "1d2h", "100000d", "٣d")),
        *((nonsense, None) for nonsense in ("1d\nx", "30 days", "d30", "1_0d", "２d", "in 2d")),
    ],
)
def test_lengths_of_time(text: str, hours: int | None) -> None:
    assert parse_duration(text) == (None if hours is None else hours * HOUR)


BERLIN, NEW_YORK, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")
KATHMANDU = ZoneInfo("Asia/Kathmandu")

MOMENTS = [
    pytest.param("2026-03-01", UTC, "2026-03-01T00:00:00", id="a date is its first moment"),
    pytest.param("2026-03-01", TOKYO, "2026-02-28T15:00:00", id="in its zone"),
    pytest.param("2026-03-01T12:00", NEW_YORK, "2026-03-01T17:00:00", id="a time in winter"),
    pytest.param("2026-07-01T12:00", NEW_YORK, "2026-07-01T16:00:00", id="a time in summer"),
    pytest.param("2026-03-01 12:00:30", KATHMANDU, "2026-03-01T06:15:30", id="a quarter-hour zone, blank for T"),
    pytest.param("2026-03-29T01:59:59", BERLIN, "2026-03-29T00:59:59", id="before the clock goes forward"),
    pytest.param("2026-03-29T03:00:00", BERLIN, "2026-03-29T01:00:00", id="after it"),
    pytest.param("2026-03-29T02:30", BERLIN, "2026-03-29T01:30:00", id="the hour that is not there"),
    pytest.param("2026-10-25T02:30", BERLIN, "2026-10-25T00:30:00", id="the hour that comes twice is the first"),
    pytest.param("2026-03-29", BERLIN, "2026-03-28T23:00:00", id="the day that is an hour short"),
    pytest.param("2026-03-01T12:00:00Z", TOKYO, "2026-03-01T12:00:00", id="Z beats the zone"),
    pytest.param("2026-03-01T12:00:00+02:00", NEW_YORK, "2026-03-01T10:00:00", id="so does an offset"),
    pytest.param("2026-03-01T12:00:00-09:30", UTC, "2026-03-01T21:30:00", id="a negative offset with minutes"),
    pytest.param("  2026-03-01T12:00Z\n", UTC, "2026-03-01T12:00:00", id="blanks around"),
    pytest.param("2026-03-01T12:00:00.123457Z", UTC, "2026-03-01T12:00:00.123457", id="exact to the microsecond"),
    pytest.param("1969-12-31T23:59:59.999999Z", UTC, "1969-12-31T23:59:59.999999", id="before the epoch"),
    pytest.param("0001-01-01T00:00:00Z", UTC, "0001-01-01T00:00:00", id="year 1"),
    pytest.param("9999-12-31T23:59:59.999999Z", UTC, "9999-12-31T23:59:59.999999", id="year 9999"),
    pytest.param("2024-02-29", UTC, "2024-02-29T00:00:00", id="a leap day"),
]


@pytest.mark.parametrize(("text", "zone", "utc"), MOMENTS)
def test_moments(text: str, zone: tzinfo, utc: str) -> None:
    expected = datetime.fromisoformat(utc + "+00:00") - EPOCH
    assert parse_moment(text, zone) == expected // timedelta(microseconds=1)


NO_MOMENTS = """
    now|yesterday|7d|12|2026|2026-02-29|2026-13-01|2026-03-01T25:00|2026-03-01T12:60|10000-01-01|-0001-01-01|01.03.2026
    3/1/2026|2026-03-01T12:00 Europe/Berlin|2026-03-01T12:00+25:00|２０２６-03-01|2026-03-01T12:00:00ZZ
""".replace("\n", "|").split("|")


@pytest.mark.parametrize("text", [*NO_MOMENTS, "2026-03-01\x00", "\ud800", "9" * 400], ids=ascii)
def test_what_is_no_moment(text: str) -> None:
    assert parse_moment(text, UTC) is None


def test_without_a_zone_a_time_is_one_of_the_system() -> None:
    local = datetime.fromisoformat("2026-07-01T12:00").astimezone()
    assert parse_moment("2026-07-01T12:00", None) == (local - EPOCH) // timedelta(microseconds=1)


ENDS = ("0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59-12:00")


@pytest.mark.parametrize("zone", [None, UTC, TOKYO, NEW_YORK, timezone(timedelta(hours=14))], ids=str)
@pytest.mark.parametrize("text", ENDS)
def test_the_ends_of_the_calendar_are_moments_or_none_but_never_a_crash(text: str, zone: tzinfo | None) -> None:
    moment = parse_moment(text, zone)
    assert moment is None or abs(moment) < 2**62


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_iso_date_time_is_read_exactly(moment: datetime) -> None:
    assert parse_moment(moment.isoformat(), BERLIN) == (moment - EPOCH) // timedelta(microseconds=1)


@given(st.one_of(st.text(max_size=20), st.text("0123456789-+:TZ. hdw", max_size=25)))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_text_makes_the_readers_of_time_crash(text: str) -> None:
    assert parse_duration(text) is None or parse_moment(text, UTC) is None
