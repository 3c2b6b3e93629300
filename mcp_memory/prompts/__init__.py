"""Templates shown to models, as Markdown files."""

from importlib.resources import files


def load(name: str) -> str:
    """The template `name`.md, without the newline at its end."""
    return (files(__name__) / f"{name}.md").read_text(encoding="utf-8").strip()
