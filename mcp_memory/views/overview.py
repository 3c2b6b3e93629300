"""What there is, in both forms: how a user's memories are spread, whose there are, and who was given another name."""

from collections.abc import Sequence
from typing import Final

from typing_extensions import TypedDict  # pydantic reads the standard one only from Python 3.12 on

from mcp_memory.models import LABEL
from mcp_memory.service.overview import Stats
from mcp_memory.store.base import Holding
from mcp_memory.text.amounts import counted, size
from mcp_memory.text.cleanup import escaped
from mcp_memory.text.notes import block, shown

NAMED: Final = 20
"""So many topics and agents are named to a reader; programs get all."""


class StatsReply(TypedDict):
    """The reply of `mcp-memory stats`; `file_bytes` is the size of the whole file, with its log."""

    label: str
    total: int
    pinned: int
    keyed: int
    expiring: int
    topics: dict[str, int]
    agents: dict[str, int]
    ages: dict[str, int]
    file: str
    file_bytes: int


class UserData(TypedDict):
    """One user: `memories` there are, expired ones included, and `writes` there were."""

    user: str
    memories: int
    writes: int


class UsersReply(TypedDict):
    """The reply of `mcp-memory users`."""

    users: list[UserData]


class RenameReply(TypedDict):
    """The reply of `mcp-memory users rename`."""

    outcome: str
    old: str
    new: str
    memories: int


def stats(counts: Stats, file: str, file_bytes: int) -> str:
    """How a user's memories are spread, for a reader."""
    one = counts.census
    told = f"{counted(one.total, 'memory', 'memories')}: {one.pinned} pinned, {one.keyed} with a key, "
    spread = [
        f"created: {', '.join(f'{count} {age}' for age, count in counts.ages.items() if count)}",
        *_named("topics", one.topics),
        *_named("agents", one.agents),
    ]
    recalled = block(spread) if one.total else []
    headline = f"{told}{one.expiring} that will expire{f' ({LABEL})' if one.total else ''}"
    return "\n".join([headline, *recalled, f"file: {escaped(file)}, {size(file_bytes)}"])


def structured_stats(counts: Stats, file: str, file_bytes: int) -> StatsReply:
    """The same for programs."""
    one = counts.census
    return StatsReply(
        label=LABEL,
        total=one.total,
        pinned=one.pinned,
        keyed=one.keyed,
        expiring=one.expiring,
        topics={escaped(name): count for name, count in one.topics},
        agents={escaped(name): count for name, count in one.agents},
        ages=dict(counts.ages),
        file=escaped(file),
        file_bytes=file_bytes,
    )


def users(found: Sequence[Holding]) -> str:
    """Who has how many memories, a line each."""
    told = [f"{escaped(one.user)} · {counted(one.memories - one.pending, 'memory', 'memories')}" for one in found]
    return "\n".join([f"{counted(len(found), 'user', 'users')}:", *told]) if told else "No users yet."


def structured_users(found: Sequence[Holding]) -> UsersReply:
    """The same for programs."""
    return UsersReply(
        users=[
            UserData(user=escaped(one.user), memories=one.memories - one.pending, writes=one.writes) for one in found
        ]
    )


def renamed(old: str, new: str, held: Holding) -> str:
    """That a user has another name, and what must follow."""
    memories = counted(held.memories - held.pending, "memory", "memories")
    return (
        f"Renamed {escaped(old)} to {escaped(new)}: {memories}, history included.\n"
        f"Clients and settings that say {escaped(old)} start anew under that name; give them the new one."
    )


def structured_renamed(old: str, new: str, held: Holding) -> RenameReply:
    """The same for programs."""
    return RenameReply(outcome="renamed", old=escaped(old), new=escaped(new), memories=held.memories - held.pending)


def _named(what: str, counts: Sequence[tuple[str, int]]) -> list[str]:
    if not counts:
        return []
    more = f", and {len(counts) - NAMED:,} more" if len(counts) > NAMED else ""
    return [f"{what}: {', '.join(f'{shown(name)} {count}' for name, count in counts[:NAMED])}{more}"]
