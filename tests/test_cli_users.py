"""`mcp-memory users rename`: another name for somebody, while others use the file, and what forgetting finds then."""

from pathlib import Path

import anyio
import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.guard import Fields
from mcp_memory.models import Origin
from mcp_memory.sections import ApprovalConfig
from tests.planted import in_bytes
from tests.test_cli import invoked

ORIGIN = Origin(tool="test")
RENAME = ("users", "rename", "alice", "Alice B.")


async def filled(config: Config, *users: str) -> None:
    async with open_app(config) as app:
        service = await app.service()
        for user in users:
            await service.add(user, Fields(content=f"Likes zanzibarwood, says {user}"), ORIGIN)


async def commanded(config: Config, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    done = await anyio.to_thread.run_sync(lambda: invoked(*arguments, "--database", config.database, folder=tmp_path))
    return done.exit_code, done.stdout + done.stderr


@pytest.mark.promise("P1")
async def test_a_process_that_searched_before_a_rename_finds_each_under_the_right_name(
    config: Config, tmp_path: Path
) -> None:
    await filled(config, "alice", "bob")
    async with open_app(config) as app:
        service = await app.service()

        async def finds(user: str) -> list[str]:
            found = await service.search(user, "zanzibarwood", service.scope())
            return [hit.memory.content for hit in found.hits]

        assert await finds("alice") == ["Likes zanzibarwood, says alice"]
        code, told = await commanded(config, tmp_path, *RENAME, "--yes")
        assert (code, told.splitlines()[0]) == (0, "Renamed alice to Alice B.: 1 memory, history included.")
        assert (await finds("alice"), await finds("Alice B.")) == ([], ["Likes zanzibarwood, says alice"])
        await service.add("alice", Fields(content="Sells zanzibarwood"), ORIGIN)
        assert (await finds("alice"), await finds("Alice B.")) == (
            ["Sells zanzibarwood"],
            ["Likes zanzibarwood, says alice"],
        )
        assert await finds("bob") == ["Likes zanzibarwood, says bob"]


async def test_a_rename_that_cannot_be_is_refused_and_says_why(config: Config, tmp_path: Path) -> None:
    await filled(config, "alice", "bob")
    for names, code, named in (
        (("alice", "bob"), 1, "User 'bob' exists already"),
        (("carl", "alice"), 1, "No user 'carl' in the file"),
        (("alice", " alice"), 2, "are the same"),
        (("alice", "\u200b"), 2, "invisible character"),
    ):
        assert (await commanded(config, tmp_path, "users", "rename", *names, "--yes"))[0] == code
        assert named in (await commanded(config, tmp_path, "users", "rename", *names, "--yes"))[1]
    ahead = ("users", "--database", config.database, "rename", "bob", "alice", "--yes")
    done = await anyio.to_thread.run_sync(lambda: invoked(*ahead, folder=tmp_path))
    assert (done.exit_code, "User 'alice' exists already" in done.stderr) == (1, True)
    code, told = await commanded(config, tmp_path, *RENAME)
    assert (code, "add --yes" in told) == (2, True)
    assert "alice · 1 memory\nbob · 1 memory" in (await commanded(config, tmp_path, "users"))[1]


@pytest.mark.promise("P4")
async def test_who_was_renamed_is_forgotten_in_older_backups_too_and_nobody_else(
    config: Config, tmp_path: Path
) -> None:
    await filled(config, "alice", "bob")
    assert (await commanded(config, tmp_path, "backup"))[0] == 0
    assert (await commanded(config, tmp_path, *RENAME, "--yes"))[0] == 0
    await filled(config, "alice")  # another person who took the name
    assert (await commanded(config, tmp_path, "backup"))[0] == 0
    code, told = await commanded(config, tmp_path, "forget-user", "Alice B.", "--yes")
    assert code == 0, told
    assert in_bytes(Path(config.database).parent, ["Alice B."]) == set()
    copies = sorted((Path(config.database).parent / "backups").glob("*.db"))
    assert len(copies) == 2
    for copy, users in zip(copies, (["bob"], ["alice", "bob"]), strict=True):
        shown = (await commanded(config.replace(database=str(copy)), tmp_path, "users", "--json"))[1]
        assert [user for user in ("alice", "bob") if f'"{user}"' in shown] == users


@pytest.mark.promise("P1")
@pytest.mark.promise("P4")
async def test_who_has_anothers_former_name_is_forgotten_without_harm_to_that_ones_backups(
    config: Config, tmp_path: Path
) -> None:
    await filled(config, "alice")
    assert (await commanded(config, tmp_path, "backup"))[0] == 0
    assert (await commanded(config, tmp_path, "users", "rename", "alice", "bob", "--yes"))[0] == 0
    await filled(config, "alice")
    assert (await commanded(config, tmp_path, "forget-user", "alice", "--yes"))[0] == 0
    [backup] = (Path(config.database).parent / "backups").glob("*.db")
    async with open_app(config.replace(database=str(backup))) as app:
        assert (await (await app.service()).page("alice", limit=1)).total == 1


async def test_what_waits_for_approval_is_not_counted_among_a_users_memories(config: Config, tmp_path: Path) -> None:
    held = config.replace(approval=ApprovalConfig(mode="all"))
    await filled(held, "alice", "bob")
    assert "alice · 0 memories" in (await commanded(config, tmp_path, "users"))[1]
