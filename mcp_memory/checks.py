"""What a look at a set-up found: one value a check, each with its remedy."""

from typing import Literal

from mcp_memory.values import Value

Outcome = Literal["ok", "warn", "fail"]


class Check(Value):
    """One thing that was looked at. `remedy` is the next step, empty where none is needed."""

    name: str
    outcome: Outcome
    said: str
    remedy: str = ""


def ok(name: str, said: str) -> Check:
    """Nothing to do."""
    return Check(name=name, outcome="ok", said=said)


def warn(name: str, said: str, remedy: str) -> Check:
    """It works, but not as well or as safely as it should."""
    return Check(name=name, outcome="warn", said=said, remedy=remedy)


def fail(name: str, said: str, remedy: str) -> Check:
    """It does not work, or something is lost."""
    return Check(name=name, outcome="fail", said=said, remedy=remedy)


def some(names: list[str], most: int = 5) -> str:
    """The first `most` of `names`, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
