"""What can be told of a database from outside: place, rights, space and backups.

By metadata alone: a process that has the file open must not open it, its -wal or its -shm by other means, since closing
them drops SQLite's locks.
"""

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mcp_memory.checks import Check, fail, ok, some, warn
from mcp_memory.clock import DAY
from mcp_memory.store.sqlite.backup import copies, folder_of
from mcp_memory.store.sqlite.connection import is_shared
from mcp_memory.text.amounts import counted, size

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "drvfs", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.rclone"}
)
_LITTLE_SPACE: Final = 50_000_000
_MOMENT: Final = re.compile(r"-(\d{8}T\d{6})Z")


def place(path: Path) -> Check:
    """Whether the file is there, or could be made."""
    name = "file"
    try:
        found = path.stat()
    except FileNotFoundError:
        return _missing(name, path)
    except OSError as error:
        return fail(name, f"{path} cannot be looked at ({error.strerror})", "check the rights of its folders")
    if not stat.S_ISREG(found.st_mode):
        return fail(name, f"{path} is no file", "name a file with --database, in the client's configuration too")
    return ok(name, f"{path}, {size(found.st_size)}")


def _missing(name: str, path: Path) -> Check:
    there = next((folder for folder in path.parents if folder.exists()), path.parent)
    what = f"{path} does not exist yet" if there == path.parent else f"the folder {path.parent} does not exist"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return fail(name, f"{what}, and {there} cannot be written", "name another file with --database")
    return warn(
        name,
        what,
        "the first start of a client makes it; if there were memories before, name their file with --database, or "
        "mcp-memory restore-backup",
    )


def folder(path: Path) -> Check:
    """Whether SQLite's locks can be relied on where the file is."""
    name, remedy = "folder", "move the file to a folder of this machine's own, and name it with --database"
    if is_shared(path):
        return warn(name, f"{path.parent} is a synchronised or network folder, where databases get damaged", remedy)
    kind = _file_system(path.parent)
    if kind in _NETWORK:
        return warn(name, f"{path.parent} is on a network file system ({kind}), where locks are not reliable", remedy)
    return ok(name, "on this machine, not synchronised" if kind else "not synchronised, as far as its name tells")


def _file_system(at: Path) -> str | None:
    """The kind of file system that holds `at`; None where the system does not say."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    real, best, kind = at.resolve(), -1, None
    for line in mounts:
        _, mounted, found, *_ = line.split(" ")
        point = Path(mounted.replace("\\040", " "))
        if real.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), found
    return kind


def permissions(path: Path) -> Check:
    """Whether nobody but the owner can read the memories, and this process can write them."""
    name = "permissions"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        return fail(
            name, f"{path} or its folder cannot be written by this account", "make this account the owner of both"
        )
    if sys.platform == "win32":
        return ok(name, "left to the access list of the folder, as always on Windows")
    wrong = [str(one) for one, _ in _too_open(path)]
    if wrong:
        return fail(name, f"other accounts have access to {some(wrong)}", "mcp-memory doctor --repair")
    return ok(name, "nobody but the owner has access")


def restrict(path: Path) -> str | None:
    """Take away the rights of other accounts; what was done, None where there was nothing to do.

    Raises:
        OSError: this account may not.
    """
    wrong = [] if sys.platform == "win32" else list(_too_open(path))
    for one, mode in wrong:
        one.chmod(mode)
    return f"permissions: {some([f'{one} is {mode:04o} now' for one, mode in wrong])}" if wrong else None


def _too_open(path: Path) -> Iterator[tuple[Path, int]]:
    """What others have a right to and should not, with the mode it should have."""
    parent = path.parent
    beside = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm")), *copies(path, [folder_of(path)])]
    for one in beside:
        found = _look_at(one)
        if found is not None and found.st_mode & _OTHERS:
            yield one, 0o600
    mode = stat.S_IMODE(parent.stat().st_mode)
    # A folder that somebody chose and that holds other things is theirs; but nobody else may exchange the file in it.
    if mode & _OTHERS and _is_ours(path):
        yield parent, 0o700
    elif mode & _MAY_WRITE and not mode & stat.S_ISVTX:
        yield parent, mode & ~_MAY_WRITE


def _look_at(path: Path) -> os.stat_result | None:
    """What the system says of `path`; None where it is gone, as a log is with the last process that uses it."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_ours(path: Path) -> bool:
    known = {folder_of(path).name, "config.toml"}
    return all(one.name.startswith(path.stem) or one.name in known for one in path.parent.iterdir())


def space(path: Path) -> Check:
    """Whether there is room for what is written next, and for a copy."""
    name, free = "disk", shutil.disk_usage(path.parent).free
    if free < _LITTLE_SPACE:
        return fail(name, f"only {size(free)} free: writes will be refused soon", "free some space")
    wanted = 2 * path.stat().st_size + _LITTLE_SPACE
    if free < wanted:
        return warn(name, f"{size(free)} free, which is too little for a backup and a clean-up", "free some space")
    return ok(name, f"{size(free)} free")


def backups(path: Path, folders: Iterable[str], now: int) -> Check:
    """Which backups there are, and how old the newest is at `now`, in microseconds."""
    name = "backups"
    found = copies(path, [folder_of(path), *map(Path, folders)])
    if not found:
        return ok(name, "none yet; mcp-memory backup makes one")
    moment = _MOMENT.search(found[-1].name)
    told = counted(len(found), "backup", "backups")
    if moment is None:
        return ok(name, f"{told}, the newest {found[-1]}")
    made = datetime.strptime(moment[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    days = max(0, now // DAY - int(made.timestamp() * 1_000_000) // DAY)
    age = "of today" if days == 0 else f"{counted(days, 'day', 'days')} old"
    return ok(name, f"{told}, the newest {age}: {found[-1]}")


def log_size(path: Path) -> int:
    """Bytes of the write-ahead log; 0 where there is none."""
    found = _look_at(path.with_name(path.name + "-wal"))
    return found.st_size if found is not None else 0
