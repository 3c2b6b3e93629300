"""Passwords and keys that a text calls so: `password = ...`, "the wifi password is ...", in many languages.

The words find the place; whether what stands there is a secret, or the next word of a sentence, its characters decide.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal, assert_never

from mcp_memory.text.patterns import Pattern

Sort = Literal["password", "PIN", "key", "API key", "access token", "private key"]
Span = tuple[str, int, int]
Link = Literal["sign", "verb", "none"]
"""How a word and a value are tied: `=` or a colon, a verb, or nothing but a blank."""

_WORDS: Final[tuple[tuple[Sort, str], ...]] = (
    (
        "password",
        (
            "password passwort passwd passcode passphrase passord pwd kennwort wachtwoord lösenord "
            "adgangskode salasana "
            "contraseña contrasena senha hasło haslo heslo jelszó parola şifre sifre пароль лозинка κωδικός κωδικό "
            "mot¤de¤passe palavra-passe kata¤sandi mật¤khẩu 密码 密碼 口令 パスワード 暗証番号 비밀번호 비번 암호 "
            "รหัสผ่าน पासवर्ड كلمة¤المرور كلمة¤السر الرقم¤السري סיסמה סיסמא הסיסמה গোপন parolă lozinka geslo "
            "recovery¤code backup¤code clave pass pw mdp zugangsdaten credentials"
        ),
    ),
    ("PIN", "pin door¤code gate¤code alarm¤code access¤code unlock¤code entry¤code türcode zugangscode пин-код"),
    (
        "API key",
        (
            "api¤key apikey access¤key secret¤key secret¤access¤key account¤key subscription¤key master¤key "
            "encryption¤key "
            "client¤secret app¤secret api¤secret signing¤secret webhook¤secret totp¤secret 2fa¤secret secret clé¤api "
            "api-schlüssel api¤schlüssel clave¤api chave¤de¤api api¤密钥 密钥 密鑰 apiキー ключ¤api api-ключ api¤키"
        ),
    ),
    (
        "access token",
        (
            "token auth¤token access¤token api¤token refresh¤token bot¤token bearer¤token secret¤token 令牌 токен "
            "jeton トークン 토큰"
        ),
    ),
    ("key", "key"),
    ("private key", "private¤key privater¤schlüssel clé¤privée clave¤privada закрытый¤ключ 私钥 秘密鍵"),
)
_BOUNDED: Final = frozenset(
    "pin key pass pw mdp clave pwd senha token secret geslo heslo parola sifre şifre 암호 비번 jeton".split()
)
"""Short words, which count only where no letter stands before or after."""

_STEMS: Final = (
    "pass pwd kennwort contrase senha heslo parol geslo code clave pw mdp zugang pin key secret schlüssel token jeton "
    "salasana adgangskode wachtwoord credentials ключ"
).split()
"""A text without any of these needs no look at the words that hold one."""
_SUFFIX: Final = Pattern(
    r"(?:s|en|et|n|a|e|ı|ım|sı|si|i|im|in|ul|u|em|я|ю|ем|у|ja|er)?(?![^\W\d_])(?!\w{0,20}(?:hash|len|min_|max_|count"
    r"|polic|expir|age\b|reset|field|input|type|manager|hint|ur[li]|path|file|name|_id\b|limit|strength|regex|format"
    r"|algo|rotat|changed|updated|_at\b|check|valid|column|label|holder|budget|cost|usage))",
    re.IGNORECASE,
)
_LINK: Final = Pattern(
    r"(?P<sign>:=|[:=]{1,2}>?|->|→|[—–]|>(?!\s))\s{0,3}"
    r"|\s(?:is|was|are|ist|lautet|lauten|war|est|es|é|è|era|är|er|on|je|jest|to|is:|это|là|adalah|este|είναι|هي|هو"
    r"|היא|הוא|olarak|yra|set to|changed to|reset to|now|is now|remains|-)\s{1,3}(?:now |still |also |also: |jetzt )?"
    r"|(?:是|为|為|は|는|은|が|คือ|हैं?|है|:)\s{0,3}",
    re.IGNORECASE,
)
_GAP_END: Final = Pattern(r"[\n;!?]|\.\s")
_SIGN: Final = Pattern(r"[\d!@#$%^&*~+=?|\\\"'`“„«「『‘”]")
"""No secret is without any of these, in itself or around it."""
_BARE: Final = Pattern(r"[^\s\u0e00-\u0e7f\u1100-\u11ff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,200}")
_LONGEST: Final = 200
_REST: Final = Pattern(r"[\w+/=.~-]*")
_CUT: Final = Pattern(r"[;&](?=[\w ]{1,40}=)|</|[\"'`](?=[,}\]:\s;)&]|$)|\\n|\\\"|,(?=[\"'\w-]{2,}[:=])|[|]")
_PAIRS: Final = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "«": "»", "「": "」", "『": "』", "‘": "’", "”": "”"}

_HARMLESS: Final = Pattern(
    r"https?://.*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[~.]{0,2}/[\w./ -]*|[A-Za-z]:\\.*"
    r"|[~<>≥≤]?\d+(?:[.,:/–-]\d+)*(?:\+|%|st|nd|rd|th|h|d|s|m|x|k|ms|[kmg]i?b|-?(?:bits?|bytes?|digits?|chars?|characters?"
    r"|px|r?em|pt|km|days?|weeks?|months?|years?|hours?|minutes?|words?|tagen?|zeichen|stellig\w*|jahren?|jours?|d[ií]as?|dias))"
    r"|\d{4}-\d\d-\d\dt[\d:.z+-]*"
    r"|(?:sha|aes|rfc|wpa|oauth|fido|u2f|pbkdf|argon|base|utf|md|tls|ssl|ipv|http|python|scrypt|keepass|kdbx|iso|version"
    r"|page|step|item|line|chapter|room|day|week|level|no|nr|q|windows|office|rsa|ed|ec|web|ps|mp|covid)"
    r"[-/.]?\d[\d.-]{0,10}[a-z]{0,6}|[mpqsvx]\d{1,3}(?:[.-]\d+)*"
    r"|1password\w*|keepass\w*|\w*-?2fa|n26|log4j|k8s|i18n|a11y|e2e\w*|b2b",
    re.IGNORECASE,
)
_CODE: Final = Pattern(
    r"[\w.>:$-]*[A-Za-z_]\w*\(.*|[A-Za-z_]\w*(?:\[.*|(?:(?:\.|->|::)[A-Za-z_]\w*)+)|\$[{(].*|(?-i:\$[A-Z_][A-Z0-9_]*|\$[a-z_]+)|%[a-z_]+%?|@[a-z_]+|<.*|\[.*|\{.*|#.{0,3}"
    r"|[a-z]+(?:_[a-z]+)+|[\W_]+|(.)\1+|.*(?:x{4}|\*{3}|\.{3}|…).*|.*(?:your|example|placeholder|redacted|dummy|changeme"
    r"|hidden|snip|here\b).*",
    re.IGNORECASE,
)
_NAMES: Final = Pattern(
    r"(?:[a-z_-]*(?:password|passwort|passwd|passphrase|pass|pwd|pw|secret|token|apikey|key|kennwort))"
    r"|none|null|nil|true|false|undefined|str|string|text|bytes|required|optional|empty|missing|invalid|wrong|expired"
    r"|unknown|changed|bearer|basic|self|user|username|env",
    re.IGNORECASE,
)
_SENTENCE: Final = Pattern(r"[^\W\d_]+(?:[-'’/][^\W\d_]+)*[!?]*")
_UNIT: Final = Pattern(
    r"\s(?:m|km|cm|mm|ft|ms|s|h|min|kb|mb|gb|px|points|characters|times|days|years)\b", re.IGNORECASE
)
_OTHERWISE: Final = {
    "pin": Pattern(r"pin[^\W\d_]\Z"),
    "key": Pattern(r"(?:public|private|cache|primary|foreign|object|sort|hash|row|index|license|product)[ _-]?key.?\Z"),
}
"""Where a word means something else."""
_OF: Final = Pattern(
    r"\s(?:for|of|to|für|vom|von|zum|zur|de|del|du|do|da|от|для|til|för|voor|per)\s(?:[^\W\d_]{1,20}\s){1,3}"
)
_WORD: Final = Pattern(r"\S{1,64}")
_PROSE: Final = frozenset(
    "a an and are at be for has have in is it must not of on or should the to with you your".split()
)
"""No phrase of random words has any of these."""
_STRONG: Final = Pattern(r"[!@#$%^&*~+=?|\\]")
_SAYS: Final = frozenset("is ist est es é è это - — as als como comme come".split())
"""What stands between a password and the word for it, where the password comes first."""
_BACK: Final = 60
_HEADER: Final = Pattern(r"\b(bearer|basic)\s{1,3}([\w.~+/=-]{8,4000})", re.IGNORECASE)
_ADDRESS: Final = Pattern(r"://[^\s/:@?#]{0,80}:([^\s/@]{3,120})@(?=[\w\[])")
_OPTION: Final = Pattern(
    r"(?<!\S)(?:-u|--user)[ =]['\"]?[\w.@-]{1,60}:([^\s'\"]{4,100})|\bmysql(?:dump)?\b[^\n]{0,60}? -p([^\s'\"]{4,60})"
)
_PHRASE: Final = Pattern(
    r"(?:seed|recovery|mnemonic|secret)(?: ?phrase)?\b[^\n.:=]{0,30}(?::|=| is)\s{0,3}[\"“]?"
    r"((?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8})\b",
    re.IGNORECASE,
)
_WINDOWS: Final[dict[Sort, int]] = {"PIN": 24, "key": 3}
_WINDOW: Final = 48
"""Characters after a word within which it must be said what the password is."""
_KINDS: Final[dict[Sort, str]] = {"PIN": "password", "key": "API key"}


def assigned(text: str, low: str) -> Iterator[Span]:
    """What `text` calls a password or a key: the kind, and where its value stands. `low` is the text in lower case."""
    plain = low.isascii()
    for stem, forms in _forms().items():
        if (plain and not stem.isascii()) or stem not in low:
            continue
        for form, sort in forms:
            start = low.find(form)
            while start >= 0:
                end = _end(low, start, form)
                if end is not None and (found := _near(text, start, end, sort)):
                    yield (_KINDS.get(sort, sort), *found)
                start = low.find(form, start + len(form))


def written(text: str, low: str) -> Iterator[Span]:
    """Passwords in addresses, headers and options of commands, and the words that open a wallet."""
    if "://" in text:
        yield from (("password", *match.span(1)) for match in _ADDRESS.finditer(text) if not _placeholder(match[1]))
    if "bearer " in low or "basic " in low:
        yield from _headers(text)
    if "-u" in text or "mysql" in low:
        yield from _options(text)
    if "phrase" in low or "mnemonic" in low:
        yield from (("private key", *match.span(1)) for match in _PHRASE.finditer(text))


def _headers(text: str) -> Iterator[Span]:
    for match in _HEADER.finditer(text):
        if match[1].lower() == "basic" and _decodes(match[2]):
            yield ("password", *match.span(2))
        elif match[1].lower() == "bearer" and _random(match[2], 16):
            yield ("access token", *match.span(2))


def _options(text: str) -> Iterator[Span]:
    for match in _OPTION.finditer(text):
        group = 1 if match[1] else 2
        if not match[group].isdigit() and _secret(match[group], "password", "sign"):
            yield ("password", *match.span(group))


@cache
def _forms() -> dict[str, list[tuple[str, Sort]]]:
    """The words as they may be written, by the stem that they hold."""
    forms: dict[str, list[tuple[str, Sort]]] = {}
    for sort, words in _WORDS:
        for word in words.split():
            stem = next((stem for stem in _STEMS if stem in word), word.split("¤")[0])
            written = dict.fromkeys(word.replace("¤", sign) for sign in (" ", "_", "-", ""))
            forms.setdefault(stem, []).extend((form, sort) for form in written)
    return forms


def _end(low: str, start: int, form: str) -> int | None:
    """Where a word ends that stands by itself, or as the last part of another where words of its kind do."""
    end = start + len(form)
    if form in _BOUNDED and low[start - 1 : start].isalpha():
        return None
    if form in _OTHERWISE and _OTHERWISE[form].search(low[max(0, start - 16) : end + 1]):
        return None
    if form[-1].upper() == form[-1]:  # a script without cases, and mostly without blanks
        return end
    suffix = _SUFFIX.match(low, end)
    return suffix.end() if suffix else None


def _near(text: str, start: int, end: int, sort: Sort) -> tuple[int, int] | None:
    """Where the value stands that a word between `start` and `end` calls a secret."""
    if not _SIGN.search(text, max(0, start - _BACK), end + _WINDOW + _LONGEST):
        return None
    return _after(text, end, sort) or _ahead(text, start, sort)


def _ahead(text: str, start: int, sort: Sort) -> tuple[int, int] | None:
    """Where the value stands in `... is my password` and `use ... as password`."""
    words = list(_WORD.finditer(text, max(0, start - _BACK), start))[-6:]
    for said, value in zip(reversed(words[1:]), reversed(words[:-1]), strict=True):
        if said[0].lower() in _SAYS:
            bare, place = _trimmed(value[0], value.start())
            return (place, place + len(bare)) if _secret(bare, sort, "none") else None
    return None


def _after(text: str, end: int, sort: Sort) -> tuple[int, int] | None:
    """Where the value stands that the text after a word gives it."""
    if text[end : end + 1] in {"}", "@", "]"}:  # a variable, a part of an address, or what stands for a secret
        return None
    stop = min(len(text), end + _WINDOWS.get(sort, _WINDOW))
    if broken := _GAP_END.search(text, end, stop):
        stop = broken.start() + 1
    for link in _LINK.compiled.finditer(text, end, stop):
        tie: Link = "sign" if link["sign"] else "verb"
        found = _value(text, link.end(), sort, tie)
        if found:
            return found
        if tie == "sign" and not text[end : link.start()].strip("\"'`*_] "):
            return None
    if sort != "PIN" and (owner := _OF.match(text, end, stop)):
        return _value(text, owner.end(), sort, "none")
    blank = text[end : end + 2]
    if blank[:1] in {" ", "\t"} or (blank and not blank[0].isascii()):
        return _value(text, end + (blank[:1] in {" ", "\t"}), sort, "none")
    return None


def _value(text: str, place: int, sort: Sort, tie: Link) -> tuple[int, int] | None:
    while place < len(text) and text[place] in "*_( ":
        place += 1
    opening = text[place : place + 1]
    if closing := _PAIRS.get(opening):
        end = text.find(closing, place + 1, place + _LONGEST)
        if end > 0 and _quoted(text[place + 1 : end], sort, tie):
            return place + 1, end
        place += 1
    match = _BARE.match(text, place)
    if match is None:
        return None
    value, place = _trimmed(match[0], place)
    if value.isdigit() and _UNIT.match(text, place + len(value)):
        return None
    if not _secret(value, sort, tie):
        return None
    end = place + len(value)
    rest = _REST.match(text, end) if len(match[0]) == _LONGEST else None
    return place, rest.end() if rest else end


def _trimmed(value: str, place: int) -> tuple[str, int]:
    """A value without what belongs to the sentence around it."""
    bare = value.lstrip("\"'`“„«‹([")
    place += len(value) - len(bare)
    cut = _CUT.search(bare, 1)
    return (bare[: cut.start()] if cut else bare).rstrip(".,;:)]}>\"'`”»…*"), place


def _quoted(value: str, sort: Sort, tie: Link) -> bool:
    if " " in value:
        words = value.split()
        return sort == "password" and tie != "none" and len(words) > 3 and _PROSE.isdisjoint(words)
    if _secret(value, sort, tie):
        return True
    return (
        sort == "password" and len(value) >= (8 if tie == "none" else 6) and value.isalpha() and not _placeholder(value)
    )


def _secret(value: str, sort: Sort, tie: Link) -> bool:
    """Whether what is called a secret is one, and not the next word of a sentence."""
    if len(value) < 4 or _placeholder(value):
        return False
    match sort:
        case "key":
            return tie == "sign" and value.isalnum() and _random(value, 24)
        case "API key" | "access token" | "private key":
            return _random(value, 24 if tie == "none" else 12)
        case "PIN":
            digits = sum(char.isdigit() for char in value)
            return value[0].isdigit() and 4 <= digits <= 12 and digits + 2 > len(value)
        case "password":
            return _password(value, tie)
        case _ as never:
            assert_never(never)


def _password(value: str, tie: Link) -> bool:
    digits = sum(char.isdigit() for char in value)
    letters = sum(char.isalpha() for char in value)
    if digits == len(value):
        return tie != "none"
    if _HARMLESS.fullmatch(value):
        return False
    if digits and letters:
        return len(value) >= (6 if tie == "none" else 5) and not _acronym(value, tie)
    if digits:
        return tie == "sign" and len(value) >= 6
    return letters >= 4 and len(value) >= 7 and _STRONG.search(value, 1) is not None and not _SENTENCE.fullmatch(value)


def _acronym(value: str, tie: Link) -> bool:
    """Names such as ISO27001; only where no sign says that a value follows."""
    head = value.rstrip("0123456789-")
    return tie == "none" and head.isupper() and head.isalpha() and len(head) < 7


def _random(value: str, least: int) -> bool:
    """Whether a value looks made by a machine."""
    return (
        len(value) >= least
        and len(set(value)) >= 8
        and any(char.isdigit() for char in value)
        and any(char.isalpha() for char in value)
        and not _placeholder(value)
        and not _HARMLESS.fullmatch(value)
    )


def _placeholder(value: str) -> bool:
    return bool(_CODE.fullmatch(value) or _NAMES.fullmatch(value))


def _decodes(value: str) -> bool:
    """Whether it is a name and a password in base64, as basic authentication has them (RFC 7617)."""
    try:
        plain = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in plain[1:] and plain.isprintable()
