"""Passwords, keys and account numbers in a text, by patterns that seldom mean anything else."""

import re
from collections.abc import Callable
from functools import cache
from typing import Final

_WORDS: Final = (
    r"pass(?:word|wort|wd|code|phrase)|kennwort|pwd|pin|mot de passe|contraseña|senha|пароль|密码|密碼"
    r"|パスワード|비밀번호"
    r"|(?:api|access|secret|private)[ _-]?(?:key|token)|auth[ _-]?token|client[ _-]?secret"
)
_IS: Final = r"\s*(?:[:=：]|(?:is|ist|lautet|est|es|é|это|是|は|는)(?![a-z]))\s*"
_TOKENS: Final = (
    ("private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"),
    ("cloud access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("access token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,}|glpat-[\w-]{20,}|npm_[A-Za-z0-9]{36})"),
    ("access token", r"\bxox[abeoprs]-[\w-]{10,}|\bhf_[A-Za-z0-9]{30,}|\bpypi-AgE[\w-]{50,}|\b\d{8,10}:AA[\w-]{33}\b"),
    ("API key", r"\bsk-(?:[a-z]+\d*-)*[A-Za-z0-9_-]{20,}|\bAIza[\w-]{35}|\b[rs]k_live_[A-Za-z0-9]{20,}"),
    ("signed token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    ("password in an address", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,80}:[^\s/@]{3,80}@\w"),
)
_ASSIGNED: Final = rf"(?<![a-z])(?:{_WORDS})(?![a-z]){_IS}[\"'`“]?(?P<value>[^\s\"'`”,;]{{4,200}})"
_CARD: Final = r"(?<![\w.+-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])"
_IBAN: Final = r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"


def credential(text: str) -> str | None:
    """What kind of secret stands in `text`, in words; None where none is seen."""
    for kind, pattern in _TOKENS:
        if _compiled(pattern).search(text):
            return kind
    if any(_is_secret(match["value"]) for match in _compiled(_ASSIGNED, re.IGNORECASE).finditer(text)):
        return "password or key"
    if _any(_CARD, text, _is_card):
        return "card number"
    if _any(_IBAN, text, _is_iban):
        return "account number"
    return None


def _any(pattern: str, text: str, holds: Callable[[str], bool]) -> bool:
    return any(holds(match[0]) for match in _compiled(pattern).finditer(text))


@cache
def _compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def _is_secret(value: str) -> bool:
    """Whether what is called a password is one, and not the next word of a sentence."""
    bare = value.strip(".!?)")
    return len(bare) >= 4 and (any(char.isdigit() for char in bare) or bool(re.search(r"[^\w\s.,:-]", bare)))


def _is_card(match: str) -> bool:
    """Luhn's check digit (ISO/IEC 7812)."""
    digits = [int(char) for char in match if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(match: str) -> bool:
    """The check digits of ISO 13616."""
    bare = match.replace(" ", "")
    moved = bare[4:] + bare[:4]
    return 15 <= len(bare) <= 34 and int("".join(str(int(char, 36)) for char in moved)) % 97 == 1
