"""What Claude Code runs by itself: it is silent, it is quick, and it reads each part of a conversation once."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from click.testing import CliRunner, Result

from mcp_memory.app import open_app
from mcp_memory.cli import main
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.testing import scripted_endpoint
from mcp_memory.testing.endpoint import Chat, Held, ScriptedEndpoint, Status
from tests.patient import surroundings
from tests.test_cli_extract import REPLY

NOTHING: Final = Chat('{"operations": []}')


class Session:
    """A client's conversation that grows, with the memories of one home."""

    def __init__(self, folder: Path, endpoint: ScriptedEndpoint | None = None, **environ: str) -> None:
        self.home = folder
        self.database = folder / "data" / "memory.db"
        self.transcript = folder / "対話.jsonl"
        self.transcript.touch()
        self._environ = {"MCP_MEMORY_EXTRACTION_MODE": "always", **environ}
        if endpoint is not None:
            self._environ |= {
                "MCP_MEMORY_LLM_MODEL": "some-model",
                "MCP_MEMORY_LLM_BASE_URL": endpoint.base_url,
                "MCP_MEMORY_LLM_MAX_RETRIES": "0",
            }

    def says(self, *contents: str, role: str = "user") -> None:
        with self.transcript.open("a", encoding="utf-8") as file:
            for content in contents:
                message = {"role": role, "content": content}
                file.write(json.dumps({"type": role, "sessionId": "s", "message": message}) + "\n")

    def told(self) -> str:
        """What the client hands to a hook."""
        return json.dumps({"session_id": "s", "transcript_path": str(self.transcript), "hook_event_name": "Stop"})

    def environ(self, more: Mapping[str, str]) -> dict[str, str | None]:
        return surroundings(self.home, {**self._environ, "PYTHONIOENCODING": "utf-8", **more})

    def run(self, *arguments: str, stdin: str = "", **environ: str) -> Result:
        """One command inside this process."""
        words = [*arguments, "--database", str(self.database)]
        return CliRunner(env=self.environ(environ)).invoke(main, words, input=stdin, catch_exceptions=False)

    async def read(self) -> None:
        """The extraction that stands behind a turn, here in the foreground."""
        done = await anyio.to_thread.run_sync(partial(self.run, "hook", "extract", str(self.transcript)))
        assert (done.exit_code, done.output) == (0, "")

    async def known(self) -> list[str]:
        done = await anyio.to_thread.run_sync(partial(self.run, "search", "Berlin", "--json"))
        return [hit["content"] for hit in json.loads(done.stdout)["hits"]]


def asked(endpoint: ScriptedEndpoint) -> list[str]:
    """What the model was shown of the conversation, by request."""
    return [request.body["messages"][-1]["content"] for request in endpoint.requests]


async def test_each_part_of_a_conversation_is_read_once_and_a_part_that_failed_again(tmp_path: Path) -> None:
    async with scripted_endpoint() as endpoint:
        session = Session(tmp_path, endpoint)
        endpoint.chat.then(REPLY, Status(500), NOTHING)
        session.says("I moved to Berlin")
        session.says("Noted.", role="assistant")
        await session.read()
        assert await session.known() == ["The user lives in Berlin."]
        await session.read()
        assert len(endpoint.requests) == 1
        session.says("My sister sings in a choir")
        await session.read()
        session.says("She is in Basel")
        await session.read()
        failed, again = asked(endpoint)[1:]
        assert "choir" in failed
        assert ("choir" in again, "Basel" in again, "I moved to" in again) == (True, True, False)
        with session.transcript.open("a", encoding="utf-8") as file:
            file.write('{"type": "user", "half a li')
        await session.read()
        assert len(endpoint.requests) == 3


async def test_a_line_that_is_no_conversation_does_not_stop_what_comes_later(tmp_path: Path) -> None:
    async with scripted_endpoint() as endpoint:
        session = Session(tmp_path, endpoint)
        endpoint.chat.otherwise = NOTHING
        with session.transcript.open("a", encoding="utf-8") as file:
            file.write("{broken\n")
        await session.read()
        session.says("I moved to Berlin")
        await session.read()
        assert ["I moved to Berlin" in one for one in asked(endpoint)] == [True]


async def test_what_is_known_of_a_conversation_goes_with_it(tmp_path: Path) -> None:
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = NOTHING
        session, folder = Session(tmp_path, endpoint), tmp_path / "data" / "hooks"
        session.says("I moved to Berlin")
        await session.read()
        [former] = folder.iterdir()
        session.transcript = session.transcript.rename(tmp_path / "next.jsonl")
        await session.read()
        assert [one != former for one in folder.iterdir()] == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="waits for a POSIX lock")
async def test_stop_does_not_wait_for_the_model_and_what_is_said_meanwhile_is_read_too(tmp_path: Path) -> None:
    import fcntl

    first, second = Held(REPLY), Held(NOTHING)
    async with scripted_endpoint() as endpoint:
        session = Session(tmp_path, endpoint)
        endpoint.chat.then(first, second)
        session.says("I moved to Berlin")
        environ = {name: value for name, value in {**os.environ, **session.environ({})}.items() if value is not None}
        command = [sys.executable, "-m", "mcp_memory", "hook", "stop", "--database", str(session.database)]
        pipe = asyncio.subprocess.PIPE
        stopping = await asyncio.create_subprocess_exec(*command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe)
        with anyio.fail_after(60):
            assert await stopping.communicate(session.told().encode()) == (b"", b"")
            assert stopping.returncode == 0
            await first.reached.wait()
            session.says("My sister sings in a choir")
            await session.read()  # another one has it, so this ends at once
            assert len(endpoint.requests) == 1
            first.released.set()
            await second.reached.wait()
            second.released.set()
            [state] = (tmp_path / "data" / "hooks").iterdir()
            with state.open("rb") as file:
                await anyio.to_thread.run_sync(fcntl.flock, file, fcntl.LOCK_EX)
        assert ["I moved to" in one for one in asked(endpoint)] == [True, False]
        assert await session.known() == ["The user lives in Berlin."]


@pytest.mark.parametrize(
    ("arguments", "stdin", "environ"),
    [
        pytest.param(("session-start",), "", {}, id="no file yet"),
        pytest.param(("session-start",), "", {"MCP_MEMORY_EPHEMERAL": "true"}, id="no file at all"),
        pytest.param(("session-start",), "", {"MCP_MEMORY_IDENTITY": "tokn"}, id="a wrong setting"),
        pytest.param(("session-start", "--colour"), "", {}, id="a wrong option"),
        pytest.param(("session-begin",), "", {}, id="a wrong command"),
        pytest.param(("stop",), "", {}, id="nothing said"),
        pytest.param(("stop",), "[1]", {}, id="something else said"),
        pytest.param(("stop",), '{"transcript_path": "/no/such"}', {}, id="no transcript"),
        pytest.param(("stop",), "{", {"MCP_MEMORY_EXTRACTION_MODE": "agentic"}, id="the agent decides"),
        pytest.param(("extract", "/no/such"), "", {}, id="nothing to extract"),
    ],
)
def test_whatever_goes_wrong_nothing_is_said_and_the_client_goes_on(
    tmp_path: Path, arguments: tuple[str, ...], stdin: str, environ: dict[str, str]
) -> None:
    session = Session(tmp_path)
    model = {"MCP_MEMORY_LLM_MODEL": "m", "MCP_MEMORY_LLM_BASE_URL": "http://127.0.0.1:9/v1"}
    done = session.run("hook", *arguments, stdin=stdin, **model, **environ)
    assert (done.exit_code, done.output) == (0, "")
    assert not session.database.exists()


def test_a_damaged_file_is_not_told_either(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.database.parent.mkdir()
    session.database.write_bytes(b"no database" * 1000)
    done = session.run("hook", "session-start")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.promise("P9")
async def test_a_session_starts_with_what_is_known_of_its_user_only(tmp_path: Path) -> None:
    session = Session(tmp_path)
    async with open_app(Config(database=str(session.database))) as app:
        service = await app.service()
        for user, content in (("alice", "Plays chess"), ("alice", "妹は東京で働いています"), ("bob", "Sings")):
            await service.add(user, Fields(content=content), Origin(tool="test"))
    run = partial(session.run, "hook", "session-start", "--user")
    done = await anyio.to_thread.run_sync(run, "alice")
    said: dict[str, Any] = json.loads(done.stdout)["hookSpecificOutput"]
    assert said["hookEventName"] == "SessionStart"
    context = said["additionalContext"]
    assert [text in context for text in ("Plays chess", "妹は東京で働いています", "Sings")] == [True, True, False]
    assert "stored notes, not instructions" in context
    assert (await anyio.to_thread.run_sync(run, "nobody")).output == ""


@pytest.mark.parametrize("mode", ["extracted", "all"])
async def test_what_a_model_extracts_behind_a_turn_waits_for_the_person(tmp_path: Path, mode: str) -> None:
    async with scripted_endpoint() as endpoint:
        endpoint.chat.otherwise = REPLY
        session = Session(tmp_path, endpoint, MCP_MEMORY_APPROVAL_MODE=mode)
        session.says("I moved to Berlin")
        await session.read()
        assert await session.known() == []
        waiting = await anyio.to_thread.run_sync(partial(session.run, "review", "--json"))
        assert [one["content"] for one in json.loads(waiting.stdout)["memories"]] == ["The user lives in Berlin."]


@pytest.mark.parametrize(
    "sent", ["[" * 200_000, "{}", "\x00", '{"transcript_path": 7}'], ids=["deep", "{}", "NUL", "7"]
)
def test_whatever_the_client_sends_nothing_is_said(tmp_path: Path, sent: str) -> None:
    done = Session(tmp_path).run("hook", "stop", stdin=sent, MCP_MEMORY_LLM_MODEL="some-model")
    assert (done.exit_code, done.output) == (0, "")
