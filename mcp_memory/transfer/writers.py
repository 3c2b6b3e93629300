"""The formats that an export can have, each as three texts: what stands before, one memory, what stands after."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from mcp_memory.errors import InvalidInput
from mcp_memory.store.lineage import Lineage
from mcp_memory.transfer import document, jsonl, markdown, table

Form = Literal["jsonl", "json", "markdown", "csv"]
"""What an export can be written as."""


class Writer(NamedTuple):
    """Writes one format: `one` each memory, the other texts before, between and after them."""

    begin: str
    one: Callable[[Lineage], str]
    between: str = ""
    end: str = ""


def writer(form: Form, *, history: bool) -> Writer:
    """What writes `form`, with all versions where `history` is wanted.

    Raises:
        InvalidInput: this format has no room for them.
    """
    match form:
        case "jsonl":
            return Writer(jsonl.begin(history=history), partial(jsonl.line, history=history))
        case "json":
            whole = partial(document.line, history=history)
            return Writer(document.begin(history=history), whole, document.BETWEEN, document.END)
        case _ if history:
            raise InvalidInput(f"{form} has no room for --history; use --format jsonl or json")
        case "markdown":
            return Writer(markdown.begin(), markdown.item)
        case "csv":
            return Writer(table.begin(), table.line)
