"""What a file must hold after everything that was done to it, and what a reply may say meanwhile.

Every write gives a memory its next version and leaves a revision: the revisions are the order in which the writes of
all processes took place. So the model keeps what was acknowledged, refused and left open, and holds the file against
it; of single memories it follows what is certain at the moment, and holds every reply against that.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

USERS: Final = ("alice", "bob", "carol", "dave")


class Outcome(Enum):
    """What is known of a write. Left open: its process was killed before it answered; it is done or not, but whole."""

    RUNNING = "running"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    OPEN = "left open"


@dataclass
class Write:
    """One write that was asked for; `texts` are those that no memory had before, `touched` the memories it is about."""

    user: str
    tool: str
    arguments: Mapping[str, Any]
    process: str
    texts: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    outcome: Outcome = Outcome.RUNNING
    change_id: str | None = None

    def __str__(self) -> str:
        asked = json.dumps(self.arguments, ensure_ascii=False)
        return f"{self.outcome.value}: {self.tool} of {self.user} by {self.process}: {asked} -> {self.change_id}"

    @property
    def blind(self) -> bool:
        """Whether only the store knows what it is about."""
        return self.tool == "undo" and "change_id" not in self.arguments


@dataclass
class Known:
    """What is known of one memory. It is certain while nothing runs on it or was left open, and it never expires."""

    id: str
    user: str
    version: int
    content: str
    present: bool
    key: bool = False
    expires: bool = False
    running: int = 0
    left_open: bool = False
    turns: int = 0
    """How often anything began or ended on it: a read in whose course it has changed proves nothing."""

    @property
    def certain(self) -> bool:
        return not (self.running or self.left_open or self.expires)


class Written(NamedTuple):
    """One memory as an acknowledged write left it."""

    id: str
    version: int
    content: str
    present: bool
    expires: bool


@dataclass
class Findings:
    """What went wrong, each with the history of the memory concerned."""

    lost: list[str] = field(default_factory=list[str])
    leaked: list[str] = field(default_factory=list[str])
    unclear: list[str] = field(default_factory=list[str])


class Model:
    """Everything that was asked of one file."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.memories: dict[str, Known] = {}
        self.writes: list[Write] = []
        self.changes: dict[str, dict[str, tuple[int, str]]] = {}
        self.by_user: dict[str, list[str]] = {user: [] for user in USERS}
        self.again: set[str] = set()
        self._blind: list[Write] = []

    def living(self, user: str) -> list[Known]:
        return [one for one in self.memories.values() if one.user == user and one.present]

    def begin(self, write: Write) -> None:
        self.writes.append(write)
        if write.blind:
            self._blind.append(write)
        for one in self._touched(write):
            one.running += 1
            one.turns += 1

    def end(self, write: Write, outcome: Outcome, reply: Mapping[str, Any] | None = None) -> None:
        write.outcome = outcome
        if write.blind:
            self._blind.remove(write)
        for one in self._touched(write):
            one.running -= 1
            one.turns += 1
            one.left_open |= outcome is Outcome.OPEN
        if reply is not None and "change_id" in reply:
            write.change_id = reply["change_id"]
            written = list(written_by(write.tool, reply))
            self.changes[reply["change_id"]] = {one.id: (one.version, one.content) for one in written}
            self.by_user[write.user].append(reply["change_id"])
            for one in written:
                self._learn(write, one)

    def _touched(self, write: Write) -> Iterable[Known]:
        return [self.memories[one] for one in write.touched if one in self.memories]

    def _learn(self, write: Write, written: Written) -> None:
        fresh = Known(written.id, write.user, 0, "", present=False)
        known = self.memories.setdefault(written.id, fresh)
        known.turns += 1
        known.expires |= written.expires
        known.key |= "key" in write.arguments
        if known.user != write.user:
            self.findings.leaked.append(f"{write.user} wrote {written.id}, which is {known.user}'s: {write}")
        for blind in self._blind:  # it may be about this one as well
            if blind.user == write.user and written.id not in blind.touched:
                blind.touched += (written.id,)
                known.running += 1
        if written.version > known.version:
            known.version, known.content, known.present = written.version, written.content, written.present
            known.left_open = False

    def certain(self, user: str) -> dict[str, tuple[int, Known]]:
        """What a read that begins now must agree with, if it is still so when it ends."""
        return {one.id: (one.turns, one) for one in self.memories.values() if one.user == user and one.certain}

    def held_against_list(self, before: Mapping[str, tuple[int, Known]], reply: Mapping[str, Any]) -> None:
        shown = {memory["id"]: memory for memory in reply["memories"]}
        complete = reply["total"] <= len(shown)
        for turns, known in before.values():
            if known.turns == turns and (complete or known.id in shown):
                self.held_against(known, shown.get(known.id), "list_memories")

    def held_against_search(self, known: Known, turns: int, reply: Mapping[str, Any]) -> None:
        shown = {memory["id"]: memory for memory in reply["hits"]}
        if known.turns == turns and not known.key and (known.present or known.id in shown):
            self.held_against(known, shown.get(known.id), f"search_memories for {known.content!r}")

    def held_against(self, known: Known, shown: Mapping[str, Any] | None, by: str) -> None:
        """A memory about which everything is known against what a read shows of it."""
        wrong = (shown is not None) != known.present
        if shown is not None and not wrong:
            other = shown["version"] == known.version and shown["content"] != known.content
            wrong = other or shown["version"] < known.version or bool(shown.get("damaged"))
        if wrong:
            self._lost(known, f"{by} shows {shown}")

    def adopt(self, known: Known, turns: int, shown: Mapping[str, Any] | None) -> None:
        """A read tells what became of a memory on which a write was left open."""
        if known.turns != turns or known.running:
            return
        known.left_open, known.present = False, shown is not None
        if shown is not None:
            if shown["version"] < known.version:
                self._lost(known, f"get_memory shows {shown}")
            known.version, known.content = shown["version"], shown["content"]

    def _lost(self, known: Known, why: str) -> None:
        self.findings.lost.append(f"{known}: {why}\n{self.history(known.id)}")

    def history(self, memory_id: str) -> str:
        """Everything that was asked of one memory."""
        named = [
            write
            for write in self.writes
            if memory_id in write.touched or memory_id in self.changes.get(write.change_id or "", {})
        ]
        return "\n".join(f"    {write}" for write in named)


def written_by(tool: str, reply: Mapping[str, Any]) -> Iterable[Written]:
    """What a reply says was written."""
    match tool:
        case "add_memory" | "update_memory":
            steps = [("update", reply["memory"])]
        case "delete_memory":
            steps = [("delete", memory) for memory in reply["memories"]]
        case "undo":
            for step in reply["operations"]:
                memory = step["memory"]
                gone = step["op"] == "delete"
                yield Written(memory["id"], memory["version"], memory["content"], not gone, "expires_at" in memory)
            return
        case _:
            steps = [(step["op"], step["memory"]) for step in reply["operations"]]
    for op, memory in steps:
        gone = op == "delete"  # shown as it was, and gone one version later
        version = memory["version"] + gone
        yield Written(memory["id"], version, memory["content"], not gone, "expires_at" in memory)


def mark_of(user: str) -> str:
    """The word that stands in every text of one user and in no other's."""
    return f"{user}mark"


def marks_of_others(user: str, text: str) -> list[str]:
    return [other for other in USERS if other != user and mark_of(other) in text]


def integrity(database: Path) -> str:
    """`ok`, or what SQLite finds wrong with the file."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        rows: list[tuple[str]] = connection.execute("PRAGMA integrity_check").fetchall()
        rows += [(str(row),) for row in connection.execute("PRAGMA foreign_key_check").fetchall()]
    return "ok" if rows == [("ok",)] else "; ".join(text for (text,) in rows[:5])


_REVISIONS: Final = """
SELECT users.name AS user, changes.id AS change, changes.seq, changes.tool, changes.system, changes.undoes,
    revisions.row_id, memory, operation, revisions.id, content, key, topics, pinned, metadata, expires_at, created_at,
    version
FROM changes JOIN users ON users.number = changes.user LEFT JOIN revisions ON revisions.change = changes.seq
ORDER BY changes.seq, revisions.row_id
"""
_RESTORED: Final = ("content", "key", "topics", "pinned", "metadata", "expires_at", "created_at")


class Audit:
    """A whole file against its model, once all its processes have ended."""

    def __init__(self, model: Model, database: Path, findings: Findings) -> None:
        self._model = model
        self._findings = findings
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(_REVISIONS).fetchall()
            self._current = connection.execute("SELECT row_id, id, content, version FROM memories").fetchall()
            for index in ("memory_index", "past_index"):
                connection.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
        self._revisions = [row for row in rows if row["row_id"] is not None]
        self._changes = {row["change"]: row for row in rows}
        self._of_change: dict[int, list[sqlite3.Row]] = defaultdict(list)
        self._of_memory: dict[int, list[sqlite3.Row]] = defaultdict(list)
        for row in self._revisions:
            self._of_change[row["seq"]].append(row)
            self._of_memory[row["memory"]].append(row)

    def run(self) -> None:
        self._acknowledged()
        self._nothing_else()
        self._texts()
        self._versions()
        self._undone()

    def _acknowledged(self) -> None:
        """Every acknowledged write is there, exactly as its reply said."""
        for write in self._model.writes:
            if write.change_id is None:
                continue
            change = self._changes.get(write.change_id)
            stored = (
                {row["id"]: (row["version"], row["content"]) for row in self._of_change[change["seq"]]}
                if change
                else {}
            )
            wanted = self._model.changes[write.change_id]
            if change is None or change["user"] != write.user or change["tool"] != write.tool or stored != wanted:
                self._lost(f"{write}: the file has {stored}, acknowledged was {wanted}", list(wanted))

    def _nothing_else(self) -> None:
        """Besides there are only writes that were left open: of those that were refused nothing is there."""
        unknown = Counter(
            (row["user"], row["tool"])
            for change, row in self._changes.items()
            if change not in self._model.changes and not row["system"]
        )
        left_open = Counter((one.user, one.tool) for one in self._model.writes if one.outcome is Outcome.OPEN)
        for (user, tool), count in (unknown - left_open).items():
            self._lost(f"{count} changes by {tool} of {user} are in the file beyond those acknowledged or left open")

    def _texts(self) -> None:
        """Each text was asked for by its user, was written once, and never alone where several belong together."""
        asked = {text: write for write in self._model.writes for text in write.texts}
        introduced: Counter[str] = Counter()
        for rows in self._of_memory.values():
            before = None
            for row in rows:
                if row["content"] != before and row["undoes"] is None:
                    introduced[row["content"]] += 1
                before = row["content"]
                if mark_of(row["user"]) not in row["content"] or marks_of_others(row["user"], row["content"]):
                    self._findings.leaked.append(f"the file has {row['content']!r} as {row['user']}'s")
        for text, count in introduced.items():
            write = asked.get(text)
            if write is None or write.outcome is Outcome.REFUSED:
                self._lost(f"{text!r} is in the file, and was refused: {write}")
            elif count > 1 and text not in self._model.again:
                self._lost(f"{text!r} was written {count} times: {write}")
        for write in self._model.writes:
            if write.tool == "extract_memories" and len({text in introduced for text in write.texts}) > 1:
                self._lost(f"a change was done by half: {write}")

    def _versions(self) -> None:
        """The versions of a memory have no gap, and the memory is its last revision."""
        current = {row["row_id"]: (row["id"], row["content"], row["version"]) for row in self._current}
        for memory, rows in self._of_memory.items():
            if [row["version"] for row in rows] != list(range(1, len(rows) + 1)):
                self._lost(f"versions {[row['version'] for row in rows]}", [rows[0]["id"]])
            last = rows[-1]
            gone = last["operation"] in {"delete", "expire"}
            wanted = None if gone else (last["id"], last["content"], last["version"])
            if current.pop(memory, None) != wanted:
                self._lost(f"the memory is not its last revision {tuple(last)}", [last["id"]])
        if current:
            self._lost(f"memories without revisions: {current}")

    def _undone(self) -> None:
        """An undo has brought back exactly what was there before."""
        for row in self._changes.values():
            if row["undoes"] is None:
                continue
            done = {one["memory"]: one for one in self._of_change[row["seq"]]}
            for undone in self._of_change[row["undoes"]]:
                rows = self._of_memory[undone["memory"]]
                place = rows.index(undone)
                before = rows[place - 1] if place else None
                if before is None or before["operation"] in {"delete", "expire"}:
                    exact = undone["memory"] not in done or done[undone["memory"]]["operation"] == "delete"
                else:
                    after = done.get(undone["memory"])
                    exact = after is not None and all(after[name] == before[name] for name in _RESTORED)
                if not exact:
                    self._lost(f"change {row['change']} is no exact undo", [undone["id"]])

    def _lost(self, why: str, ids: Sequence[str] = ()) -> None:
        self._findings.lost.append("\n".join([why, *(self._model.history(one) for one in ids)]))
