"""Forgetting in words: what is asked before, and the receipt after, neither with any content."""

from mcp_memory.models import Erased, Receipt
from mcp_memory.service.outcomes import Held
from mcp_memory.text.amounts import counted
from mcp_memory.text.cleanup import escaped


def user_question(user: str, held: Held) -> str:
    """What a person is asked before everything of a user is erased."""
    if not held.writes:
        return f"The file has nothing of {user!r}. Look for it in its backups, and clean up what is left of it?"
    memories = counted(held.memories, "memory", "memories")
    return f"Erase {memories} of {user!r} for good, with their history and in all backups? No undo brings them back."


def memory_question(memory_id: str, content: str | None, versions: int) -> str:
    """What a person is asked before a memory, whose newest wording is `content`, is erased."""
    if content is None:
        return f"The file has no memory {memory_id!r}. Look for it in its backups, and clean up what is left of it?"
    kept = counted(versions, "version", "versions")
    return f"{escaped(content)}\nErase this memory for good, {kept} of it, also in all backups? No undo brings it back."


def receipt(done: Receipt) -> str:
    """What was erased, in counts."""
    lines = [_erased(done.erased) if done.erased != Erased() else "The file had nothing of it in its tables."]
    if done.copies:
        lines.append(
            f"Backups: {counted(done.copies, 'file', 'files')} looked through, {done.altered} of them altered."
        )
    if done.unfinished:
        lines.append("Not complete; see to this, and run the same command again:")
        lines += [f"- {one}" for one in done.unfinished]
    else:
        lines.append("Complete: nothing of it is left in the file, its log, its indexes or its backups.")
    return "\n".join(lines)


def _erased(erased: Erased) -> str:
    parts = (
        counted(erased.memories, "memory", "memories"),
        counted(erased.revisions, "version", "versions"),
        counted(erased.wordings, "former wording", "former wordings"),
        counted(erased.vectors, "vector", "vectors"),
        counted(erased.changes, "change", "changes"),
    )
    return f"Erased: {', '.join(parts)}."
