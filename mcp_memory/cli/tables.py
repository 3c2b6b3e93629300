"""What a terminal shows: structured replies as tables and coloured lines. rich is loaded only when one is drawn."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from mcp_memory.text.amounts import counted, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_GOOD: Final = {"restored", "added", "replaced", "updated", "exists"}
_VERBS: Final = {
    "add": ("added", "green"),
    "update": ("updated", "yellow"),
    "delete": ("deleted", "red"),
    "restore": ("restored", "green"),
    "expire": ("expired", "red"),
}
_BAR: Final = 24
"""Signs of the longest bar."""
_NAMED: Final = 12
"""So many topics and agents have a bar."""


def found(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """What a search found."""
    hits = reply["hits"]
    searched = ", ".join(reply["modes"])
    said = f"{counted(len(hits), 'hit', 'hits')}" if hits else "Nothing relevant found"
    return _stacked(_table(hits, zone), f"{said} (searched: {searched}){_left_out(reply)}")


def listed(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """Memories, and of how many."""
    memories = reply["memories"]
    return _stacked(_table(memories, zone), f"{len(memories):,} of {counted(reply['total'], 'memory', 'memories')}")


def got(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """One memory, and below it its versions where they were asked for."""
    from rich.table import Table
    from rich.text import Text

    one = reply["memory"]
    fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    fields.add_column(style="dim", no_wrap=True)
    fields.add_column(overflow="fold")
    for name, said in _fields(one, zone):
        fields.add_row(name, Text(said))
    gone = Text(f"It is {reply['gone']} since.", style="red") if "gone" in reply else None
    head = Text(one["id"], style="cyan")
    versions = [*_versions(reply["revisions"], zone)] if "revisions" in reply else []
    return _stacked(head, Text(one["content"], style="bold"), fields, gone, *versions)


def changes(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """What changed, newest first."""
    from rich.text import Text

    table = _headed("When", "Change", "What", "By")
    table.columns[2].overflow = "fold"
    for one in reply["changes"]:
        told = Text("\n").join(map(_deed, one["operations"]))
        if "more" in one:
            told.append(f"\nand {one['more']:,} more", style="dim")
        for word in ("undoes", "undone_by"):
            if word in one:
                told.append(f"\n{word.replace('_', ' ')} {one[word]}", style="dim")
        by = "the store itself" if one.get("system") else one.get("client", "")
        made = f"{one['tool']}\n{by}" if by else one["tool"]
        table.add_row(_minute(one["at"], zone), Text(one["change_id"], style="cyan"), told, Text(made))
    more = f"More with --cursor {reply['next_cursor']}" if "next_cursor" in reply else None
    return _stacked(table if reply["changes"] else Text("No changes."), more)


def written(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """What was done to one memory, and what is close to it."""
    from rich.text import Text

    outcome = reply["outcome"]
    head = Text(outcome.capitalize(), style="green" if outcome in _GOOD else "yellow")
    if reply.get("changed"):
        head.append(f": {', '.join(reply['changed'])}")
    if outcome == "exists":
        head.append(" already" + ("" if "change_id" in reply else ", nothing written"))
    redacted = f"Redacted: {', '.join(reply['redacted'])}." if "redacted" in reply else None
    near = reply.get("neighbours")
    close = [Text("Close to it:", style="dim"), _table(near, zone)] if near else []
    return _stacked(head, _table([reply["memory"]], zone), *close, redacted, _way_back(reply))


def deleted(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """What was removed, and how it comes back."""
    from rich.text import Text

    head = Text(f"Deleted {counted(len(reply['memories']), 'memory', 'memories')}", style="red")
    return _stacked(head, _table(reply["memories"], zone), _way_back(reply))


def undone(reply: Mapping[str, Any], zone: tzinfo | None) -> "RenderableType":
    """What an undo restored and took away."""
    from rich.text import Text

    head = Text(f"Undid change {reply['undone']}", style="green").append(f" ({reply['tool']})", style="dim")
    steps = [_deed(one | one["memory"]) for one in reply["operations"]]
    return _stacked(head, *steps, *(f"{one['count']} more" for one in reply.get("left_out", ())), _way_back(reply))


def stats(reply: Mapping[str, Any], _: tzinfo | None) -> "RenderableType":
    """How memories are spread, as bars."""
    from rich.text import Text

    said = {name: f"{reply[name]:,}" for name in ("pinned", "keyed", "expiring")}
    told = f", {said['pinned']} pinned, {said['keyed']} with a key, {said['expiring']} that will expire"
    head = Text(counted(reply["total"], "memory", "memories"), style="bold").append(told, style="not bold")
    spread = (("Created", reply["ages"]), ("Topics", reply["topics"]), ("Agents", reply["agents"]))
    bars = [_bars(what, counts) for what, counts in spread if any(counts.values())]
    return _stacked(
        head,
        "",
        *(part for bar in bars for part in (bar, "")),
        Text(f"{reply['file']}, {size(reply['file_bytes'])}", style="dim"),
    )


def users(reply: Mapping[str, Any], _: tzinfo | None) -> "RenderableType":
    """Who has how many memories."""
    from rich.text import Text

    table = _headed("User", "Memories")
    table.columns[1].justify = "right"
    for one in reply["users"]:
        table.add_row(Text(one["user"]), f"{one['memories']:,}")
    return table if reply["users"] else Text("No users yet.")


def _stacked(*parts: "RenderableType | None") -> "RenderableType":
    from rich.console import Group

    return Group(*(part for part in parts if part is not None))


def _headed(*headings: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def _table(memories: Sequence[Mapping[str, Any]], zone: tzinfo | None) -> "Table | None":
    """Memories, a row each, with their score where they have one."""
    from rich.text import Text

    if not memories:
        return None
    scored = "score" in memories[0]
    table = _headed(*(["Score"] if scored else []), "Id", "Memory", "Topics", "Updated")
    table.columns[-2].overflow = "fold"
    table.columns[-3].overflow = "fold"
    table.columns[-3].ratio = 1
    for column in (table.columns[0], table.columns[-4], table.columns[-1]):
        column.no_wrap = True
    for one in memories:
        content = Text(one["content"])
        if details := " · ".join(_details(one, zone)):
            content.append(f"\n{details}", style="dim")
        score = [f"{one['score']:.2f}"] if scored else []
        topics = Text(", ".join(one["topics"]), style="magenta")
        table.add_row(*score, Text(one["id"], style="cyan"), content, topics, _date(one["updated_at"], zone))
    return table


def _details(one: Mapping[str, Any], zone: tzinfo | None) -> Iterator[str]:
    """What there is of a memory besides, so far as it is out of the ordinary."""
    if one.get("damaged"):
        yield "DAMAGED ON DISK: this text is not what was stored"
    if "last_good" in one:
        yield f"last good version, {one['last_good']['version']}: {one['last_good']['content']}"
    if one.get("instruction_like"):
        yield "⚠ reads like an instruction"
    if one["pinned"]:
        yield "pinned"
    if "key" in one:
        yield f"key {one['key']}"
    if "agent" in one:
        yield f"by {one['agent']}"
    if "expires_at" in one:
        yield f"expires {_minute(one['expires_at'], zone)}"
    if "past" in one:
        yield f"held {_date(one['past']['from'], zone)} to {_date(one['past']['until'], zone)}, no longer so"
    if "match" in one:
        match = one["match"]
        meaning = f", cosine {match['semantic']:.2f}" if "semantic" in match else ""
        words = f", words: {' '.join(match['words'])}" if match["words"] else ", no word"
        yield f"rank {match['rank']:.3f}, lexical {match['lexical']:.2f}{meaning}{words}"


def _fields(one: Mapping[str, Any], zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    if one["topics"]:
        yield "topics", ", ".join(one["topics"])
    for said in _details(one, zone):
        yield "", said
    if one["metadata"]:
        yield "metadata", str(one["metadata"])
    yield "created", _minute(one["created_at"], zone)
    yield "updated", f"{_minute(one['updated_at'], zone)}, version {one['version']}"


def _versions(revisions: Sequence[Mapping[str, Any]], zone: tzinfo | None) -> Iterator["RenderableType"]:
    from rich.text import Text

    table = _headed("Version", "When", "What it said", "By")
    table.columns[2].overflow = "fold"
    for one in revisions:
        verb, colour = _VERBS[one["operation"]]
        content = Text(f"{verb} ", style=colour).append(one["content"], style="default")
        if "reason" in one:
            content.append(f"\n{one['reason']}", style="dim")
        by = Text("\n".join(filter(None, (one["tool"], one.get("client")))))
        table.add_row(f"v{one['version']}", _minute(one["at"], zone), content, by)
    yield ""
    yield table


def _deed(one: Mapping[str, Any]) -> "Text":
    from rich.text import Text

    verb, colour = _VERBS[one["op"]]
    told = Text(f"{verb} ", style=colour).append(one["id"], style="cyan").append(" ")
    if "was" in one:
        told.append(one["was"], style="strike dim").append(" → ")
    told.append(one["content"])
    if one.get("changed"):
        told.append(f" ({', '.join(one['changed'])})", style="dim")
    return told


def _bars(what: str, counts: Mapping[str, int]) -> "Table":
    from rich.text import Text

    table = _headed(what, "", "")
    table.columns[1].justify = "right"
    table.columns[0].overflow = "fold"
    most = max(counts.values())
    for name, count in list(counts.items())[:_NAMED]:
        bar = "━" * max(min(count, 1), round(_BAR * count / most))
        table.add_row(Text(name), f"{count:,}", Text(bar, style="cyan"))
    if len(counts) > _NAMED:
        table.add_row(Text(f"and {len(counts) - _NAMED:,} more", style="dim"))
    return table


def _way_back(reply: Mapping[str, Any]) -> "Text | None":
    from rich.text import Text

    if "change_id" not in reply:
        return None
    return Text(f"Taken back by: mcp-memory undo {reply['change_id']}", style="dim")


def _left_out(reply: Mapping[str, Any]) -> str:
    told = (
        f"{one['count']} more left out: {one['reason']}" if one["count"] else one["reason"] for one in reply["left_out"]
    )
    return "".join(f"; {one}" for one in told)


def _moment(iso: str, zone: tzinfo | None) -> datetime:
    return datetime.fromisoformat(iso).astimezone(zone)


def _date(iso: str, zone: tzinfo | None) -> str:
    return _moment(iso, zone).date().isoformat()


def _minute(iso: str, zone: tzinfo | None) -> str:
    return _moment(iso, zone).strftime("%Y-%m-%d %H:%M")
