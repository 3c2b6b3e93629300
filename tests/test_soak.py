"""The soak test in a short form, and that its checks see what they are there for."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from benchmarks.soak import soak
from benchmarks.soak_caller import Report
from benchmarks.soak_model import Audit, Findings, Known, Model, Outcome, Write, integrity, mark_of
from benchmarks.soak_process import Lean

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="processes are stopped by signals, which Windows has not"
)


@pytest.mark.promise("P1")
@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.promise("P7")
@pytest.mark.timeout(180)
async def test_nothing_is_lost_or_leaked_while_processes_are_killed_stopped_and_starved(tmp_path: Path) -> None:
    report = await soak(7, 20261121, 3, tmp_path, print)
    assert (report.findings.lost, report.findings.leaked, report.findings.unclear) == ([], [], [])
    assert report.sound == report.checks > report.kills > 0
    assert report.stops > 0
    assert report.full > 0
    assert report.jumps > 0
    assert report.operations.total() > 100
    assert not report.failed
    said = "\n".join(report.lines())
    assert f"{report.operations.total():,}" in said


def test_the_soak_test_is_a_command_that_reports(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", "1", "--seed", "7", "--processes", "2"]
    ended = subprocess.run(
        [*command, "--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[1],
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = {line[:25].strip(): line[25:] for line in ended.stdout.splitlines()}
    assert lines["seed"] == "7, 2 processes, 1 files"
    assert (lines["lost"], lines["leaked"]) == ("0", "0")
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["findings"] == {"lost": [], "leaked": [], "unclear": []}
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


async def written(tmp_path: Path) -> tuple[Model, Path]:
    """A file with a memory that was added, updated, and whose update was undone, another, and the model of it all."""
    model, database = Model(Findings()), tmp_path / "memory.db"
    process = Lean("process 0", database, 5)
    await process.start()

    async def write(tool: str, text: str = "", **given: str) -> str:
        asked = {"content": text, **given} if text else given
        done = Write("alice", tool, asked, process.name, (text,) if text else (), tuple(given.values()))
        model.begin(done)
        reply, error = await process.call(tool, {"user_id": "alice", **asked})
        assert reply is not None, error
        model.end(done, Outcome.ACKNOWLEDGED, reply)
        return reply["memory"]["id"] if "memory" in reply else ""

    first = await write("add_memory", f"{mark_of('alice')} likes tea")
    await write("update_memory", f"{mark_of('alice')} likes coffee", id=first)
    await write("undo")
    await write("add_memory", f"{mark_of('alice')} likes rice")
    assert await process.close()
    return model, database


def audited(model: Model, database: Path) -> Findings:
    findings = Findings()
    model.findings = findings
    Audit(model, database, findings).run()
    return findings


async def test_an_audit_finds_nothing_in_a_file_that_is_as_it_should_be(tmp_path: Path) -> None:
    model, database = await written(tmp_path)
    assert audited(model, database) == Findings()
    assert integrity(database) == "ok"


TEA, COFFEE, RICE = (f"{mark_of('alice')} likes {what}" for what in ("tea", "coffee", "rice"))


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(f"DELETE FROM memories WHERE content = '{RICE}'", id="a memory is gone"),
        pytest.param(f"DELETE FROM revisions WHERE content = '{RICE}'", id="a revision is gone"),
        pytest.param("DELETE FROM changes WHERE seq = 4", id="a change is gone"),
        pytest.param(f"UPDATE memories SET content = '{RICE} ' WHERE content = '{RICE}'", id="another text"),
        pytest.param("UPDATE revisions SET key = 'k' WHERE operation = 'restore'", id="an undo that is not exact"),
        pytest.param("UPDATE revisions SET version = 7 WHERE operation = 'restore'", id="a version is left out"),
        pytest.param("INSERT INTO changes SELECT 99, user, 'x', at, tool, client, client_version, 0, summary, NULL, "
                     "NULL, 0 FROM changes WHERE seq = 1", id="a change that nobody made"),
    ],
)  # fmt: skip
async def test_an_audit_finds_what_is_lost(tmp_path: Path, script: str) -> None:
    model, database = await written(tmp_path)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(script)
    assert audited(model, database).lost


async def test_an_audit_finds_another_users_text(tmp_path: Path) -> None:
    model, database = await written(tmp_path)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            f"UPDATE revisions SET content = '{mark_of('bob')} likes rice' WHERE content = '{RICE}'"
        )
    assert audited(model, database).leaked


async def test_an_audit_finds_what_was_refused_and_yet_written(tmp_path: Path) -> None:
    model, database = await written(tmp_path)
    refused = model.writes[-1]
    refused.outcome = Outcome.REFUSED
    assert refused.change_id is not None
    del model.changes[refused.change_id]
    refused.change_id = None
    assert len(audited(model, database).lost) == 2  # a change that nobody acknowledged, and its text


def test_a_write_that_was_left_open_may_be_there_or_not_but_not_by_half(tmp_path: Path) -> None:
    async def run() -> tuple[Model, Path]:
        return await written(tmp_path)

    model, database = anyio.run(run)
    last = model.writes[-1]
    assert last.change_id is not None
    del model.changes[last.change_id]
    last.change_id, last.outcome = None, Outcome.OPEN
    assert audited(model, database).lost == []
    last.tool, last.texts = "extract_memories", (*last.texts, f"{mark_of('alice')} likes bread")
    assert any("by half" in one for one in audited(model, database).lost)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        {"version": 1, "content": RICE},
        {"version": 2, "content": TEA},
        {"version": 2, "content": RICE, "damaged": True},
    ],
)
def test_a_reply_that_disagrees_with_what_is_certain_is_a_loss(shown: dict[str, object] | None) -> None:
    findings = Findings()
    model = Model(findings)
    known = Known("k3v9", "alice", 2, RICE, present=True)
    model.held_against(known, {"version": 2, "content": RICE}, "get_memory")
    model.held_against(known, {"version": 3, "content": TEA}, "get_memory")
    assert findings.lost == []
    model.held_against(known, shown, "get_memory")
    assert len(findings.lost) == 1


def test_a_report_of_a_loss_fails() -> None:
    report = Report(seed=1, processes=4)
    assert not report.failed
    report.findings.lost.append("a memory")
    assert report.failed
    assert "lost                     1" in report.lines()
