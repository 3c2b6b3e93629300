"""`mcp-memory extract`: a transcript becomes memories, with a real endpoint; once as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import anyio.to_thread
import pytest

from mcp_memory.testing import scripted_endpoint
from mcp_memory.testing.endpoint import Chat, ScriptedEndpoint, Status
from tests.test_cli import invoked

MOVED: Final = "The user lives in Berlin."
REPLY: Final = Chat(
    json.dumps(
        {
            "operations": [
                {
                    "op": "add",
                    "id": None,
                    "content": MOVED,
                    "topics": ["home"],
                    "key": None,
                    "expires": None,
                    "reason": "moved",
                }
            ]
        }
    )
)
SAID: Final = "I moved to Berlin"
TRANSCRIPTS: Final = {
    "plain": f"user: {SAID}\nassistant: Noted.",
    "JSON Lines": f'{{"role": "user", "content": "{SAID}"}}\n{{"role": "assistant", "content": "Noted."}}',
    "JSON": f'{{"messages": [{{"role": "user", "content": "{SAID}"}}]}}',
    "Claude Code": f'{{"type": "user", "sessionId": "s", "message": {{"role": "user", "content": "{SAID}"}}}}\n'
    '{"type": "assistant", "sessionId": "s", "message": {"role": "assistant", "content": "Noted."}}',
}


class Done(NamedTuple):
    code: int | None
    out: str
    err: str


async def run(folder: Path, *arguments: str, stdin: str = "", environ: Mapping[str, str] | None = None) -> Done:
    """One command on a database of the test's own, in a thread: the loop goes on, so that an endpoint can answer."""
    done = await anyio.to_thread.run_sync(
        lambda: invoked(
            *(*arguments, "--database", str(folder / "memory.db")), folder=folder, environ=environ, stdin=stdin
        )
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


async def run_for_real(folder: Path, *arguments: str, stdin: str, environ: Mapping[str, str]) -> Done:
    """The same as a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_memory", *arguments, "--database", str(folder / "memory.db")),
        env=inherited | {"XDG_CONFIG_HOME": str(folder), "HOME": str(folder)} | dict(environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    return Done(process.returncode, out.decode(), err.decode())


def configured(endpoint: ScriptedEndpoint) -> dict[str, str]:
    return {
        "MCP_MEMORY_LLM_MODEL": "some-model",
        "MCP_MEMORY_LLM_BASE_URL": endpoint.base_url,
        "MCP_MEMORY_LLM_MAX_RETRIES": "0",
    }


async def stored(folder: Path) -> list[str]:
    found: dict[str, Any] = json.loads((await run(folder, "search", "Berlin", "--json")).out)
    return [hit["content"] for hit in found["hits"]]


@pytest.mark.parametrize("transcript", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
async def test_a_transcript_of_any_form_becomes_memories(tmp_path: Path, transcript: str) -> None:
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = REPLY
        file = tmp_path / "talk"
        file.write_text(transcript, encoding="utf-8")
        done = await run(tmp_path, "extract", str(file), environ=configured(endpoint))
        assert (done.code, done.err) == (0, "")
        assert "Applied 1 operation" in done.out
        assert f"{MOVED} · home" in done.out
        assert SAID in json.dumps(endpoint.requests[0].body)
    assert await stored(tmp_path) == [MOVED]


async def test_a_dry_run_shows_what_would_be_done_and_a_second_run_finds_it_known(tmp_path: Path) -> None:
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = REPLY
        environ, said = configured(endpoint), TRANSCRIPTS["plain"]
        preview = await run(tmp_path, "extract", "-", "--dry-run", stdin=said, environ=environ)
        assert "Would apply 1 operation, nothing written" in preview.out
        assert await stored(tmp_path) == []
        first = await run_for_real(tmp_path, "extract", "-", "--json", stdin=said, environ=environ)
        assert (first.code, first.err) == (0, "")
        assert [one["memory"]["content"] for one in json.loads(first.out)["operations"]] == [MOVED]
        second: dict[str, Any] = json.loads(
            (await run(tmp_path, "extract", "-", "--json", stdin=said, environ=environ)).out
        )
        assert second["operations"] == []
        assert "known already" in second["skipped"][0]["reason"]
    assert await stored(tmp_path) == [MOVED]


@pytest.mark.promise("P11")
async def test_without_a_model_the_command_says_what_to_set_and_makes_no_file(tmp_path: Path) -> None:
    done = await run(tmp_path, "extract", "-", stdin=TRANSCRIPTS["plain"])
    assert (done.code, done.out) == (2, "")
    assert "[llm] model" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "memory.db").exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "named"),
    [
        (["--format", "xml"], "user: hello", "'xml' is not one of"),
        (["--format", "json"], "user: hello", "JSON"),
        ([], "   ", "the transcript is empty"),
    ],
    ids=["unknown format", "not that format", "empty"],
)
async def test_what_cannot_be_read_ends_with_code_2_and_says_why(
    tmp_path: Path, arguments: list[str], stdin: str, named: str
) -> None:
    async with scripted_endpoint() as endpoint:
        done = await run(tmp_path, "extract", "-", *arguments, stdin=stdin, environ=configured(endpoint))
        assert (done.code, done.out) == (2, "")
        assert named in done.err
        assert "Traceback" not in done.err
        assert endpoint.requests == []


async def test_a_model_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = Status(401)
        done = await run(tmp_path, "extract", "-", stdin=TRANSCRIPTS["plain"], environ=configured(endpoint))
        assert (done.code, done.out) == (2, "")
        assert "401" in done.err
        assert done.err.count("\n") == 1
    assert await stored(tmp_path) == []
