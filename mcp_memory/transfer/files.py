"""Files of an export: beside at first, for their owner's eyes alone, and whole or not there."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mcp_memory.errors import InvalidInput


@contextmanager
def written(path: Path, *, force: bool) -> Generator[BinaryIO]:
    """A file that becomes `path` when the block ends without an error; one that is there is replaced only by `force`.

    Raises:
        InvalidInput: it is there, or cannot be written.
    """
    if path.exists() and not force:
        raise InvalidInput(f"{path} is there already and was left alone; name another file, or add --force")
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written ({error.strerror}); name another file") from error
    finally:
        beside.unlink(missing_ok=True)
