"""What a person reads of a file that has been encrypted, decrypted or given another key."""

from collections.abc import Sequence
from pathlib import Path

from mcp_memory.models import Rewritten
from mcp_memory.text.amounts import counted


def text(path: Path, became: str, done: Rewritten) -> str:
    """What was done with the file at `path`, and which backups still are as they were."""
    counts = (
        counted(done.memories, "memory", "memories"),
        counted(done.revisions, "version", "versions"),
        counted(done.users, "user", "users"),
    )
    told = [f"{path}: {became}; every row was copied and compared ({', '.join(counts)})"]
    told += _listed("not encrypted, so that anybody who has them can read them", done.plain_backups)
    told += _listed("encrypted, each with the key of its time", done.encrypted_backups)
    return "\n".join(told)


def _listed(what: str, backups: Sequence[Path]) -> list[str]:
    return [f"Older backups are {what}:", *(f"  {backup}" for backup in backups)] if backups else []
