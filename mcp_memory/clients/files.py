"""Files of other programs, changed so that nothing in them can be lost.

A file is replaced at once, by a new one with the same rights, and only if it still is what was read. What it was
before our first change is kept beside it. Taking everything back gives exactly that, where nobody else has changed the
file since: this is found by making our changes anew on what was kept.
"""

import difflib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from mcp_memory.errors import ConfigError
from mcp_memory.values import Value

Edit = Callable[[str], str]
"""The text of a file, empty where there is none, and what becomes of it; empty for no file any more.

Raises:
    ValueError: it cannot be changed; the message says why, with the line if it can.
"""

Redo = Callable[[str, str], str]
"""Puts what is ours in the first text into the second; raises as `Edit` does."""

_TRIES: Final = 5
_SUFFIX: Final = ".mcp-memory-backup"
_BOM: Final = b"\xef\xbb\xbf"
_WIDTH: Final = 160
"""Characters of a line that a difference shows; some clients write their whole file in one."""


class Change(Value):
    """What is to become of a file; None for no file.

    `kept` says what becomes of the copy: one is made of a file that is not all ours, and goes where it is put back.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    kept: Literal["made", "left", "gone"] = "left"

    def difference(self) -> list[str]:
        """The lines that go and come, marked with - and +."""
        old, new = (_text(raw or b"").splitlines() for raw in (self.before, self.after))
        # Of lines that are alike, the first ones of the longer file are paired: closing brackets there are its own.
        grows = len(new) >= len(old)
        matched = difflib.SequenceMatcher(None, *((new, old) if grows else (old, new)), autojunk=False)
        lines: list[str] = []
        for tag, first, last, start, end in matched.get_opcodes():
            if tag != "equal":
                come, go = ((first, last), (start, end)) if grows else ((start, end), (first, last))
                lines += [f"- {line}" for line in old[slice(*go)]] + [f"+ {line}" for line in new[slice(*come)]]
        return [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines]


Plan = Callable[[], Change]
"""What is to become of a file, as it is now.

Raises:
    ConfigError: it cannot be read or changed.
"""


def changed(path: Path, edit: Edit, again: Redo) -> Change:
    """What `edit` makes of the file at `path`.

    Raises:
        ConfigError: it cannot be read or changed; the message names it, and the line that is wrong.
    """
    before = _read(path)
    after = _edited(path, before, edit)
    all_ours = before is None or _repeated(path, before, None, again)
    return Change(path=path, before=before, after=after, kept="left" if all_ours else "made")


def taken_back(path: Path, edit: Edit, again: Redo) -> Change:
    """What is left of the file at `path` without what is ours; `edit` takes that out of a file changed since.

    Raises:
        ConfigError: it cannot be read or changed.
    """
    before = _read(path)
    if before is None:
        return Change(path=path, before=None, after=None)
    kept, after = _read(_backup(path)), _edited(path, before, edit)
    if after != before and _repeated(path, before, kept, again) and (not kept or _edited(path, kept, edit) == kept):
        return Change(path=path, before=before, after=kept, kept="gone")
    return Change(path=path, before=before, after=after)


def carry_out(plan: Plan) -> Change:
    """Carry out what `plan` gives, which is asked anew if somebody else writes the file meanwhile.

    Raises:
        ConfigError: `plan` raises it, or the file cannot be written; it is as it was, or as somebody else wrote it.
    """
    change = plan()
    for _ in range(_TRIES):
        if change.after == change.before or _written(change):
            return change
        change = plan()
    raise ConfigError(f"{change.path}: another program keeps writing it; close that, and run it again")


def _written(change: Change) -> bool:
    path, after = change.path, change.after
    try:
        if change.before is not None and change.kept == "made":
            _keep(path, change.before)
        if after is None:
            path.resolve().unlink()  # a link was there before, to a file that was not
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not _replaced(path.resolve(), change.before, after):
                return False
        if change.kept == "gone":
            _backup(path).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); nothing was changed") from error
    return True


def copy_of(path: Path) -> Path | None:
    """What the file at `path` was before our first change, if that is kept."""
    return _backup(path) if _backup(path).is_file() else None


def _backup(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _keep(path: Path, content: bytes) -> None:
    """The first copy stays: what came later has our own changes in it."""
    with suppress(FileExistsError), _backup(path).open("xb") as file:
        shutil.copymode(path, file.name)
        file.write(content)


def _replaced(path: Path, before: bytes | None, after: bytes) -> bool:
    """Whether the file was still what it was before, and is replaced."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        if before is None:
            Path(name).chmod(0o666 & ~_umask())
        else:
            shutil.copymode(path, name)
        if _read(path) != before:
            return False
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return True


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); nothing was changed") from error


def _repeated(path: Path, current: bytes, base: bytes | None, again: Redo) -> bool:
    """Whether `current` is `base` with nothing but what is ours."""
    with suppress(ConfigError):
        return _edited(path, base, lambda text: again(_text(current), text)) == current
    return False


def _edited(path: Path, before: bytes | None, edit: Edit) -> bytes | None:
    raw = before or b""
    try:
        text = _text(raw)
        done = edit(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is no UTF-8 text (byte {error.start:,}); nothing was changed") from error
    except ValueError as error:
        reason = " ".join(str(error).partition(" (char ")[0].split())
        raise ConfigError(f"{path}: {reason}; correct it, nothing was changed") from error
    if done == text:
        return before
    return (_BOM if raw.startswith(_BOM) else b"") + done.encode() if done else None


def _text(raw: bytes) -> str:
    return raw.removeprefix(_BOM).decode()
