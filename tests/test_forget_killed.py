"""A forgetting that is killed at any point is completed by running it again."""

import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from mcp_memory.app import open_app
from mcp_memory.config import Config
from mcp_memory.errors import NotFound
from tests.forget_child import erase
from tests.planted import backed_up, fill, in_bytes, in_indexes, of_user, plant
from tests.test_forget import sound
from tests.test_kill import PRELOADED

ROUNDS: Final = 4 if sys.platform == "win32" else 30
ALICE, BOB = plant(4, 300, 60), plant(5, 60, 12)


def killed_after(database: Path, delay: float | None) -> float:
    """Seconds that an erasing of alice took, in a process that is killed after `delay`; None lets it end."""
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=erase, args=(str(database), "alice", sender), daemon=True)
    process.start()
    sender.close()
    with receiver:
        assert receiver.recv_bytes() == b"begins"
        began = time.monotonic()
        if delay is not None:
            time.sleep(delay)  # the kill is to come at any point of the erasing
            process.kill()
        process.join()
        return time.monotonic() - began


async def complete(database: Path) -> str:
    """Run it again; what that came to."""
    async with open_app(Config(database=str(database))) as app:
        service = await app.service()
        try:
            receipt = await service.forgetting.user("alice")
        except NotFound:
            return "was complete"
        assert receipt.unfinished == ()
        return "erased" if receipt.erased.revisions else "cleaned"


@pytest.mark.promise("P4")
@pytest.mark.timeout(300)
def test_running_it_again_completes_what_was_killed(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared.db"
    anyio.run(fill, prepared, "alice", ALICE)
    anyio.run(fill, prepared, "bob", BOB)
    folder = tmp_path / "data"
    outcomes: set[str] = set()

    def fresh() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        database = Path(shutil.copy(prepared, folder / "memory.db"))
        backed_up(database, folder / "backups", "20260301T120000Z")
        return database

    killed_after(fresh(), None)
    whole = killed_after(fresh(), None)
    for number in range(ROUNDS):
        database = fresh()
        killed_after(database, whole * number / ROUNDS)
        outcomes.add(anyio.run(complete, database))
        assert in_bytes(folder, ALICE.strings) == set()
        for file in (database, folder / "backups" / "memory-20260301T120000Z.db"):
            assert of_user(file, 1) == set()
            assert in_indexes(file, BOB.words, 2)
            sound(file)
    if sys.platform != "win32":
        assert outcomes >= {"erased", "cleaned"}, "killed at one point only"
