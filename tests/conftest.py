import gc
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest
from hypothesis import settings
from jsonschema import Draft202012Validator, ValidationError, validators

from mcp_memory.config import Config
from mcp_memory.testing import FakeClock
from tests.support import Mode

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")  # hunt for new examples with --hypothesis-profile=default

ROOM: Final = 1 << 30
"""Bytes of shared memory below which the tests' files stay on the disk."""


def pytest_configure() -> None:
    """Keep the tests' files in memory where there is room: no test needs the disk, and every commit waits for one.

    Garbage is looked for less often, which takes a twentieth of the time; what is alive by now will stay.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= ROOM:
        tempfile.tempdir = str(memory)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for a process that they have started."""
    return (os.cpu_count() or 1) + 1


_sound: Final = set[str]()


def _told_once(validator: Any, parts: list[Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    """What the parts of the meta-schema say about a schema, but nothing a second time of one that is sound."""
    asked = json.dumps((parts, instance), sort_keys=True)
    if asked in _sound:
        return
    found = list(cast("Any", Draft202012Validator.VALIDATORS)["allOf"](validator, parts, instance, schema))
    if not found:
        _sound.add(asked)
    yield from found


# Every client checks the output schema of every tool it calls against the meta-schema, which took half of all the time.
_cached = cast("Any", validators).extend(Draft202012Validator, {"allOf": _told_once})
cast("Any", validators).validates("2020-12, checked once")(_cached)


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Both protocol eras: 2026-07-28 and the handshake one."""
    return request.param


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """One user on a database of the test's own."""
    return Config(database=str(tmp_path / "memory.db"), user="alice", timezone="UTC")
