"""Templates shown to models, as Markdown files. Those that decide something begin with their version."""

from functools import cache
from importlib.resources import files
from typing import Final

_VERSION: Final = "version:"


def load(name: str) -> str:
    """The template `name`.md, without its version and the newline at its end."""
    text = _read(name)
    return text.partition("\n")[2].strip() if text.startswith(_VERSION) else text.strip()


def source(name: str) -> str:
    """What is recorded of who decided by the template `name`.md: its name and version."""
    version = _read(name).splitlines()[0].removeprefix(_VERSION).strip()
    return f"{name}-{version}"


@cache
def _read(name: str) -> str:
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8")
