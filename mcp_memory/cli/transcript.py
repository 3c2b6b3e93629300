"""How far a transcript that grows has been read, in a small file of the data folder that is also the claim to read on.

A claim ends with the process that has it, whichever way that ends.
"""

import hashlib
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FOLDER: Final = "hooks"
_DIGITS: Final = 20
_LOCKED: Final = 1 << 30
"""The byte that is locked on Windows: far behind the text, which others may read."""


class Reading:
    """What of `transcript` has been read for `user`, with the memories in `folder`."""

    def __init__(self, folder: Path, transcript: Path, user: str) -> None:
        self._folder = folder / _FOLDER
        self._transcript = transcript.absolute()
        name = hashlib.sha256(f"{user}\0{self._transcript}".encode()).hexdigest()[:32]
        self._path = self._folder / name

    @contextmanager
    def claimed(self) -> "Generator[Claim | None]":
        """The claim to read on; None while another process has it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        self._path.touch(mode=0o600)
        with self._path.open("r+b", buffering=0) as file:
            yield Claim(file, self._transcript) if _lock(file) else None

    def _sweep(self) -> None:
        """Remove what is known of transcripts that are gone."""
        for path in self._folder.iterdir():
            transcript = path.read_text(encoding="utf-8", errors="replace")[_DIGITS:].strip()
            if transcript and not Path(transcript).exists():
                with suppress(OSError):
                    path.unlink()


class Claim:
    """The only process that reads on."""

    def __init__(self, file: FileIO, transcript: Path) -> None:
        self._file, self._transcript = file, transcript

    def new(self) -> tuple[str, int]:
        """The whole lines that are new, and where they end; all, if the transcript has become shorter."""
        self._file.seek(0)
        known = self._file.read(_DIGITS)
        start = int(known) if known.isdigit() else 0
        with self._transcript.open("rb") as source:
            size = source.seek(0, 2)
            source.seek(start if start <= size else 0)
            part = source.read()
            end = source.tell()
        rest = part.rpartition(b"\n")[2]
        whole = part[: len(part) - len(rest)]
        return whole.decode("utf-8", errors="replace"), end - len(rest)

    def done(self, end: int) -> None:
        """Keep in mind that everything before `end` is read."""
        self._file.seek(0)
        self._file.write(f"{end:0{_DIGITS}d}\n{self._transcript}\n".encode())


def _lock(file: FileIO) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
