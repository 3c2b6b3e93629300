from pathlib import Path

import pytest
from hypothesis import settings

from mcp_memory.config import Config
from mcp_memory.testing import FakeClock
from tests.support import Mode

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")  # hunt for new examples with --hypothesis-profile=default


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
