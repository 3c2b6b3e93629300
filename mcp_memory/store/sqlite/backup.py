"""Backups of the file: where they lie and what they are called."""

from collections.abc import Iterable
from pathlib import Path


def folder_of(path: Path) -> Path:
    """Where the backups of the database at `path` are kept unless another folder is named."""
    return path.parent / "backups"


def copies(path: Path, folders: Iterable[Path]) -> list[Path]:
    """The backups of the database at `path` that lie in `folders`, oldest first.

    Their names are the file's stem, the moment in UTC, and why where it was not asked for:
    `memory-20261121T183000Z.db`, `memory-20261121T183000Z-before-0002.db`.
    """
    found = [one for folder in folders for one in folder.glob(f"{path.stem}-[0-9]*T[0-9]*Z*.db")]
    return sorted(found, key=lambda one: one.name)
