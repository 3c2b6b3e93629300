"""`export` and `import`: memories out of a file of ours, and into it from ours or another system's."""

from pathlib import Path
from typing import Final

import click

from mcp_memory.cli import exchange
from mcp_memory.cli.options import EPILOG, loaded, settings
from mcp_memory.errors import InvalidInput

FORMS: Final = ("jsonl", "json", "markdown", "csv")
FORMATS: Final = (
    *("auto", *FORMS, "reference", "mem0", "agno", "claude", "chatgpt", "list"),
    *("basic-memory", "mcp-memory-service"),
)


@click.command(epilog=EPILOG)
@click.argument("target", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@settings("user", "database", "config")
@click.option(
    "--format",
    "form",
    metavar="F",
    type=click.Choice(FORMS),
    help="jsonl, json, markdown or csv (default: as FILE ends).",
)
@click.option("--history", is_flag=True, help="With all former versions, who made them and why (jsonl, json).")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def export(file: Path | None, user: str | None, database: str | None, **wish: object) -> None:
    """Write all memories of one user to FILE, or to the terminal: yours to read, keep and take along.

    With --history it is everything that is remembered of that person, and import brings back the same. What was deleted
    is not in it, nor what has expired or waits for approval. To move, run export --history FILE there and import FILE
    here; for the whole file with all its users, backup there and restore-backup here.
    """
    configured = loaded(file, user=user, database=database)
    exchange.export(configured, exchange.Leave.checked(wish))


@click.command("import", epilog=EPILOG)
@click.argument("source", metavar="FILE")
@settings("user", "database", "config")
@click.option(
    "--format",
    metavar="F",
    type=click.Choice(FORMATS),
    default="auto",
    help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (default: auto).",
)
@click.option(
    "--of", "owner", metavar="NAME", help="Whose memories of those that FILE holds, where it has several users."
)
@click.option("--map", "mapped", metavar="COL=FIELD", multiple=True, help="A column of a CSV table is this field.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing.")
@click.option("--skip-bad", is_flag=True, help="Leave out what cannot be read; without it, nothing is imported then.")
@click.pass_context
def import_(
    ctx: click.Context,
    file: Path | None,
    user: str | None,
    database: str | None,
    mapped: tuple[str, ...],
    **wish: object,
) -> None:
    """Bring memories from FILE into yours, as one change, which undo takes back.

    FILE is an export of mcp-memory, a memory.json of the reference server, a get_all of mem0 as JSON, Agno's SQLite
    file or postgresql:// address, memories that Claude or ChatGPT wrote out, any list, a folder of basic-memory, a
    database or export of mcp-memory-service, or a CSV table. Which it is shows in what it holds.
    """
    configured = loaded(file, user=user, database=database)
    ctx.exit(exchange.bring(configured, exchange.Bring.checked(wish | {"mapping": _mapping(mapped)})))


def _mapping(mapped: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.rpartition("=") for one in mapped]
    wrong = next((one for one, (column, _, field) in zip(mapped, pairs, strict=True) if not column or not field), None)
    if wrong is not None:
        raise InvalidInput(f"--map {wrong!r} is no COLUMN=FIELD; say for example --map Note=content")
    return {column: field for column, _, field in pairs}
