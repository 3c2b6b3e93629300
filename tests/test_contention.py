"""Eight processes that write to one file at once: every sum is right, nobody waits long, and no error comes that was
not asked for."""

import sys
from pathlib import Path
from typing import Final

import pytest

from benchmarks.contention import contend, main

PROCESSES: Final = 8
WRITES: Final = 120
"""Of the 500 that `python -m benchmarks.soak --contention` makes."""


pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows cannot fork a process that has its imports done"
)


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
async def test_adds_increments_by_version_and_undos_of_eight_processes_sum_exactly(tmp_path: Path) -> None:
    result = await contend(tmp_path, PROCESSES, WRITES)
    assert result.wrong == []
    assert result.writes == PROCESSES * WRITES + 4
    assert result.conflicts > 0, "without conflicts there was no contention"


def test_the_figures_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path, processes=2, writes=6) == 0
    printed = capsys.readouterr().out
    assert "16 by 2 processes" in printed
    assert "p99" in printed
