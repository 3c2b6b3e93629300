"""A process that opens a transaction and is then stopped by its parent. Run by `test_stopped`."""

import sys
from pathlib import Path

import anyio

from mcp_memory.models import Change, Memory, Step
from mcp_memory.store.sqlite import open_store


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main() -> None:
    """Say that a change is written but not yet committed, and commit it when told."""
    memory = Memory(
        id="stopped00000", content="Written by the stopped process", created_at=1, updated_at=1, worded_at=1
    )
    change = Change(id="change000000", at=1, tool="test", summary="added")
    async with open_store(Path(sys.argv[1]), 1, 5) as store:
        async with store.transaction("alice") as turn:
            await turn.record(change, [Step(operation="add", memory=memory)])
            say("written")
            sys.stdin.readline()
        say("committed")


anyio.run(main)
