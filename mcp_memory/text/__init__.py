"""Pure functions on text: clean-up of what comes in, terms for the index, lengths and points of time."""

from mcp_memory.text.cleanup import clean, lone_surrogate, visible
from mcp_memory.text.credentials import Secret, credential, redacted, secrets
from mcp_memory.text.moments import parse_duration, parse_moment
from mcp_memory.text.periods import Period, asked, mentioned
from mcp_memory.text.terms import DEFAULT_LANGUAGES, LANGUAGES, STOP_WORDS, Analyzer, is_foreign, sentences

__all__ = [
    "DEFAULT_LANGUAGES",
    "LANGUAGES",
    "STOP_WORDS",
    "Analyzer",
    "Period",
    "Secret",
    "asked",
    "clean",
    "credential",
    "is_foreign",
    "lone_surrogate",
    "mentioned",
    "parse_duration",
    "parse_moment",
    "redacted",
    "secrets",
    "sentences",
    "visible",
]
