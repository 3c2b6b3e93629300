"""What encryption costs, as ratios of one run: `python -m benchmarks.encryption --help`."""

import argparse
import asyncio
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.common import PipeClient, Samples, fill, measure, queries, texts
from mcp_memory.app import open_store
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.sections import EncryptionConfig, Secret

OWNER: Final = "alice"
RAW: Final = "5a" * 32
PASSPHRASE: Final = "correct horse battery staple"
SEARCH_BUDGET: Final = 1.5


class Server:
    """A database of that many memories and how its server is started; `secret` is empty for a plain one."""

    def __init__(self, folder: Path, name: str, secret: str, count: int) -> None:
        self.database, self._settings = folder / f"{name}.db", folder / f"{name}.toml"
        # A command costs a process at the start, so the key comes from the variable that every server here inherits.
        self._settings.write_text('[encryption]\nkey_env = "BENCHMARK_KEY"\n' if secret else "", encoding="utf-8")
        self.secret = secret
        asyncio.run(self._build(count))

    async def _build(self, count: int) -> None:
        encryption = EncryptionConfig(key_env="BENCHMARK_KEY" if self.secret else "", key=Secret(self.secret))
        config = Config(database=str(self.database), encryption=encryption)
        async with open_store(config, SystemClock()) as store:
            await fill(store, OWNER, texts(count))

    def started(self) -> PipeClient:
        """A new process that serves the file."""
        where = ("--config", str(self._settings), "--database", str(self.database), "--user", OWNER)
        return PipeClient("mcp_memory", "serve", *where, variables={"BENCHMARK_KEY": self.secret})


def _starts(servers: dict[str, Server], rounds: int, query: str) -> None:
    handshake, first = ({name: Samples() for name in servers} for _ in range(2))
    for round_ in range(-1, rounds):
        for name, server in servers.items():
            begun = perf_counter()
            with server.started() as client:
                started = perf_counter()
                client.call("search_memories", query=query)
                if round_ >= 0:  # the one before warms the disk cache
                    handshake[name].add(0, started - begun)
                    first[name].add(0, perf_counter() - started)
    for name in servers:
        _print(f"start: spawn to initialize reply, {name}", handshake[name], handshake["plain"])
        _print(f"first search, {name}", first[name], first["plain"])


def _calls(servers: dict[str, Server], slots: int, rounds: int) -> None:
    asked, new = queries(slots), texts(slots, seed=11)
    with servers["plain"].started() as plain, servers["encrypted"].started() as encrypted:
        clients = {"plain": plain, "encrypted": encrypted}

        def search(name: str, slot: int, _: int) -> None:
            clients[name].call("search_memories", query=asked[slot])

        def add(name: str, slot: int, round_: int) -> None:
            clients[name].call("add_memory", content=f"{new[slot][:3_900]} (no {round_})")

        for what, call in (("search", search), ("add", add)):
            things = {name: partial(call, name) for name in clients}
            if what == "search":
                measure(min(slots, 5), 1, things)
            found = measure(slots, rounds, things)
            _print(f"{what} round trip", found["encrypted"], found["plain"])


def _print(what: str, ours: Samples, plain: Samples) -> None:
    ratios = f"ratio {ours.median / plain.median:.2f}, of minima {ours.least / plain.least:.2f}"
    print(f"{what:55} {ours.median:8.2f} ms  plain {plain.median:8.2f} ms  {ratios}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encryption", description=__doc__)
    parser.add_argument("--memories", type=int, default=1_000, help="how many there are (1,000)")
    parser.add_argument("--rounds", type=int, default=15, help="how often each start and each question is repeated")
    parser.add_argument("--slots", type=int, default=40, help="how many questions and texts (40)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-") as folder:
        secrets = {"plain": "", "encrypted": RAW, "with a passphrase": PASSPHRASE}
        servers = {
            name: Server(Path(folder), name.replace(" ", "-"), secret, given.memories)
            for name, secret in secrets.items()
        }
        print(f"{given.memories:,} memories; budget of a search: <= {SEARCH_BUDGET} x plain")
        _calls(servers, given.slots, given.rounds)
        _starts(servers, max(given.rounds // 2, 3), queries(1)[0])


if __name__ == "__main__":
    main()
