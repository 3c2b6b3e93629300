"""The memory browser's door: who is let in, and what its calls answer. Plain HTTP, no browser."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import InvalidInput
from mcp_memory.guard import Fields
from mcp_memory.models import LABEL, Origin
from mcp_memory.sections import ApprovalConfig
from mcp_memory.service import MemoryService
from mcp_memory.testing import FakeClock
from mcp_memory.ui.desk import Desk
from mcp_memory.ui.http import MOST_BYTES, Door, browser_app
from tests.support import connected, ok
from tests.test_cli import invoked

PORT = 4321
HERE = f"http://127.0.0.1:{PORT}"
JSON = "application/json"


@pytest.fixture
def config() -> Config:
    """Alice's memories, in this process: the door is the same for every store."""
    return Config(ephemeral=True, user="alice", timezone="UTC")


class Visitor(NamedTuple):
    """Someone at the door of alice's memories."""

    http: httpx.AsyncClient
    door: Door

    async def enter(self) -> str:
        """Bring the token, and be known from then on."""
        reply = await self.http.post("/session", json={"token": self.door.token})
        assert reply.status_code == 200
        session = reply.json()["session"]
        self.http.headers["authorization"] = f"Bearer {session}"
        return session

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        reply = await self.http.post("/call", json={"tool": tool, "arguments": arguments})
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def ok(self, tool: str, **arguments: Any) -> dict[str, Any]:
        reply = await self.call(tool, **arguments)
        assert "structuredContent" in reply, reply
        return reply["structuredContent"]

    async def refused(self, tool: str, **arguments: Any) -> str:
        reply = await self.call(tool, **arguments)
        assert reply["isError"], reply
        return reply["content"][0]["text"]


@asynccontextmanager
async def visiting(config: Config, clock: FakeClock | None = None) -> AsyncGenerator[Visitor]:
    async with open_app(config, clock or FakeClock()) as app:
        service = await app.service()
        await service.add("bob", Fields(content="Has a secret", topics=["hidden"]), Origin(tool="add_memory"))
        async with at_the_door(service, app.zone) as visitor:
            yield visitor


@asynccontextmanager
async def at_the_door(service: MemoryService, zone: tzinfo | None) -> AsyncGenerator[Visitor]:
    door = Door()
    transport = httpx.ASGITransport(app=browser_app(Desk(service, "alice", zone), door, PORT))
    async with httpx.AsyncClient(transport=transport, base_url=HERE, headers={"origin": HERE}) as http:
        yield Visitor(http, door)


async def test_without_the_token_nothing_is_told(config: Config) -> None:
    async with visiting(config) as visitor:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": f"Bearer {visitor.door.token}"}):
            reply = await visitor.http.post("/call", json={"tool": "show_memories"}, headers=headers)
            assert (reply.status_code, reply.text) == (401, "This page has no session.")
        for token in (None, "", "x", visitor.door.token[:-1], 7):
            assert (await visitor.http.post("/session", json={"token": token})).status_code == 401


async def test_the_token_works_once_and_the_session_is_another_secret(config: Config) -> None:
    async with visiting(config) as visitor:
        session = await visitor.enter()
        assert session != visitor.door.token
        assert (await visitor.ok("show_memories"))["total"] == 0
        again = await visitor.http.post("/session", json={"token": visitor.door.token})
        assert (again.status_code, again.text) == (401, "This link was used before.")
        assert (await visitor.ok("show_memories"))["total"] == 0


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""])
@pytest.mark.parametrize("path", ["/", "/call"])
async def test_a_foreign_host_is_refused_as_dns_rebinding_has_it(config: Config, host: str, path: str) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        method = "GET" if path == "/" else "POST"
        body = None if path == "/" else {"tool": "show_memories"}
        headers = {"host": host, "origin": f"http://{host}"}
        reply = await visitor.http.request(method, path, json=body, headers=headers)
        assert (reply.status_code, reply.text) == (403, "This address is not served here.")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"origin": "https://evil.example"}, 403, id="another site"),
        pytest.param({"origin": "null"}, 403, id="a sandboxed frame or a file"),
        pytest.param({"origin": f"http://127.0.0.1:{PORT + 1}"}, 403, id="another server on this machine"),
        pytest.param({"origin": f"https://127.0.0.1:{PORT}"}, 403, id="another scheme"),
        pytest.param({"sec-fetch-site": "same-site"}, 403, id="another port, by what the browser says"),
        pytest.param({"content-type": "text/plain"}, 415, id="what a form can send"),
        pytest.param({"content-type": "application/x-www-form-urlencoded"}, 415, id="a form"),
        pytest.param({"content-type": ""}, 415, id="no type"),
    ],
)
async def test_what_another_page_can_send_is_refused_even_with_the_session(
    config: Config, headers: dict[str, str], status: int
) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        body = b'{"tool": "add_memory", "arguments": {"content": "Forged"}}'
        reply = await visitor.http.post("/call", content=body, headers={"content-type": JSON} | headers)
        assert reply.status_code == status
        del visitor.http.headers["origin"]
        assert (await visitor.http.post("/call", content=body, headers={"content-type": JSON})).status_code == 403
        visitor.http.headers["origin"] = HERE
        assert (await visitor.ok("show_memories"))["total"] == 0


async def test_no_method_but_those_of_the_page_is_served_and_no_frame(config: Config) -> None:
    async with visiting(config) as visitor:
        assert (await visitor.http.get("/call")).status_code == 405
        assert (await visitor.http.options("/call")).status_code == 405
        assert (await visitor.http.get("/memory.db")).status_code == 404
        framed = await visitor.http.get("/", headers={"sec-fetch-dest": "iframe"})
        assert framed.status_code == 403
        assert "<html" not in framed.text


async def test_the_page_runs_nothing_but_its_own_script_and_is_kept_nowhere(config: Config) -> None:
    async with visiting(config) as visitor:
        del visitor.http.headers["origin"]
        reply = await visitor.http.get("/")
        policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert re.fullmatch(r"'sha256-[\w+/=]{44}'", policy["script-src"])
        assert re.fullmatch(r"'sha256-[\w+/=]{44}'", policy["style-src"])
        assert policy["connect-src"] == "'self'"
        assert "unsafe" not in str(policy)
        expected = {"cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff"}
        assert expected.items() <= dict(reply.headers).items()
        assert "set-cookie" not in reply.headers
        assert not re.findall(r'(?:src|href)="(?!data:|#)', reply.text)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b"{", 400), (b"[" * 100_000, 400), (b'"' + b"x" * MOST_BYTES + b'"', 413)],
)
async def test_a_body_that_is_no_call_is_refused(config: Config, body: bytes, status: int) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        reply = await visitor.http.post("/call", content=body, headers={"content-type": JSON})
        assert reply.status_code == status


@pytest.mark.promise("P1")
async def test_the_page_reaches_its_users_memories_only(config: Config) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        await visitor.ok("add_memory", content="Lives in Rome", topics=["home"])
        seen = await visitor.ok("show_memories")
        assert (seen["total"], seen["topics"], seen["user"]) == (1, {"home": 1}, "alice")
        assert "user_id" in await visitor.refused("list_memories", user_id="bob")
        assert (await visitor.ok("list_gone"))["gone"] == []


async def test_calls_answer_as_the_tools_of_the_same_name_do(config: Config) -> None:
    async with visiting(config) as visitor, connected(Config(ephemeral=True, timezone="UTC")) as client:
        await visitor.enter()
        told = list[tuple[list[str], list[str]]]()
        for tool, arguments in (
            ("add_memory", {"content": "Likes tea", "topics": ["food"]}),
            ("list_memories", {"topics": ["food"]}),
            ("search_memories", {"query": "tea", "agent": None}),
        ):
            ours = await visitor.ok(tool, **arguments)
            theirs = await ok(client, tool, **{name: value for name, value in arguments.items() if value is not None})
            assert ours.pop("label") == LABEL
            told += [(list(ours), list(theirs))]
        assert all(ours == theirs for ours, theirs in told)
        assert "limit must be 1" in await visitor.refused("list_memories", limit=0)
        assert "No tool 'clear_memories' here" in await visitor.refused("clear_memories")
        assert "expected int" in await visitor.refused("list_memories", limit="many")


@pytest.mark.promise("P3")
async def test_what_is_deleted_is_listed_with_its_history_until_it_is_brought_back(config: Config) -> None:
    clock = FakeClock()
    async with visiting(config, clock) as visitor:
        await visitor.enter()
        memory = (await visitor.ok("add_memory", content="Lives in Rome"))["memory"]
        await visitor.ok("add_memory", content="Has a visa", expires="1d")
        await visitor.ok("update_memory", id=memory["id"], content="Lives in Oslo", if_version=1)
        await visitor.ok("delete_memory", id=memory["id"])
        clock.advance(days=2)
        await visitor.ok("add_memory", content="Sweeps what has expired", topics=["x"])
        gone = (await visitor.ok("list_gone"))["gone"]
        assert [(one["operation"], one["content"]) for one in gone][-1:] == [("delete", "Lives in Oslo")]
        past = await visitor.ok("memory_history", id=memory["id"])
        assert (past["gone"], len(past["revisions"])) == ("deleted", 3)
        back = await visitor.ok("restore_memory", id=memory["id"], version=gone[-1]["version"] - 1)
        assert (back["returned"], back["memory"]["content"]) == (True, "Lives in Oslo")
        changes = (await visitor.ok("list_changes"))["changes"]
        assert changes[0]["client"] == "mcp-memory ui"
        earlier = await visitor.ok("list_changes", until="2026-03-02")
        assert [one["tool"] for one in earlier["changes"]] == [
            "delete_memory",
            "update_memory",
            "add_memory",
            "add_memory",
        ]


async def test_pages_of_what_is_gone_follow_each_other_and_belong_to_their_user(config: Config) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        for number in range(3):
            memory = (await visitor.ok("add_memory", content=f"Fact {number}"))["memory"]
            await visitor.ok("delete_memory", id=memory["id"])
        first = await visitor.ok("list_gone", limit=2)
        rest = await visitor.ok("list_gone", limit=2, cursor=first["next_cursor"])
        assert [one["content"] for one in (*first["gone"], *rest["gone"])] == ["Fact 2", "Fact 1", "Fact 0"]
        assert "next_cursor" not in rest
        assert "start again" in await visitor.refused("list_gone", cursor="QUJD")


async def test_what_was_learned_is_counted_by_days_months_or_years(config: Config) -> None:
    clock = FakeClock()
    async with visiting(config, clock) as visitor:
        await visitor.enter()
        units = list[str]()
        for number, days in enumerate((1, 100, 3_000)):
            await visitor.ok("add_memory", content=f"Fact {number}")
            units.append((await visitor.ok("show_memories"))["unit"])
            clock.advance(days=days)
        await visitor.ok("add_memory", content="The last")
        seen = await visitor.ok("show_memories")
        assert (units, seen["unit"]) == (["day", "day", "month"], "year")
        assert seen["learned"] == {"2026": 3, "2034": 1}


def test_a_port_that_is_taken_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = invoked("ui", "--no-open", "--port", port, folder=tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"mcp-memory: --port {port} cannot be used")
    assert "name another" in done.stderr


@pytest.mark.promise("P7")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could answer")
def test_the_command_serves_until_a_signal_and_imports_no_sdk(tmp_path: Path) -> None:
    database = str(tmp_path / "memory.db")
    code = (
        "import sys; from mcp_memory.cli import main; main(standalone_mode=False); "
        "sys.exit(3 if 'mcp' in sys.modules else 0)"
    )
    (tmp_path / "memory.db").touch(0o600)
    with subprocess.Popen(
        [sys.executable, "-c", code, "ui", "--no-open", "--database", database], stdout=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        address, token = served.stdout.readline().split(": ")[1].strip().split("/#")
        headers = {"origin": address}
        session = httpx.post(f"{address}/session", json={"token": token}, headers=headers).json()["session"]
        headers["authorization"] = f"Bearer {session}"
        body = {"tool": "add_memory", "arguments": {"content": "Lives in Rome"}}
        assert (
            httpx.post(f"{address}/call", json=body, headers=headers).json()["structuredContent"]["outcome"] == "added"
        )
        served.send_signal(signal.SIGTERM)
        assert served.wait(10) == 0
    assert not (tmp_path / "memory.db-wal").exists()


async def test_what_waits_for_approval_is_decided_on_here_and_each_decision_is_undone(config: Config) -> None:
    held = config.replace(approval=ApprovalConfig(mode="all"))
    async with open_app(held, FakeClock()) as app:
        service = await app.service()
        for content in ("Lives in Rome", "Plays chess"):
            await service.add("alice", Fields(content=content), Origin(tool="add_memory", client="desk"))
        async with at_the_door(service, app.zone) as visitor:
            await visitor.enter()
            assert "list_pending" in (await visitor.ok("show_memories"))["tools"]
            waiting = (await visitor.ok("list_pending"))["memories"]
            assert [one["content"] for one in waiting] == ["Plays chess", "Lives in Rome"]
            accepted = await visitor.ok("accept_memories", ids=[waiting[0]["id"]])
            await visitor.ok("refuse_memories", ids=[waiting[1]["id"]])
            assert (await visitor.ok("list_pending"))["total"] == 0
            assert [one["content"] for one in (await visitor.ok("list_memories"))["memories"]] == ["Plays chess"]
            await visitor.ok("undo", change_id=accepted["change_id"])
            assert (await visitor.ok("list_memories"))["total"] == 0
            assert (await visitor.ok("add_memory", content="Likes tea"))["outcome"] == "added", "a person needs nobody"
            assert "waits for approval" in await visitor.refused("accept_memories", ids=["nonesuch0000"])


async def test_where_nothing_waits_there_is_nothing_to_review(config: Config) -> None:
    async with visiting(config) as visitor:
        await visitor.enter()
        assert "list_pending" not in (await visitor.ok("show_memories"))["tools"]


async def test_half_of_a_surrogate_pair_is_refused_in_one_line(tmp_path: Path) -> None:
    async with open_app(Config(database=str(tmp_path / "memory.db")), FakeClock()) as app:
        desk = Desk(await app.service(), "alice", app.zone)
        for tool, given in (("undo", {"change_id": "\ud800"}), ("list_memories", {"agent": "\ud800"})):
            with pytest.raises(InvalidInput, match="half of a surrogate pair"):
                await desk.call(tool, given)
