"""What a caller gives to extract memories from: exactly one of a conversation, a text, and decided operations."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from mcp_memory.errors import InvalidInput
from mcp_memory.extraction.conversation import Message, from_text, read


def conversation_of(
    messages: Sequence[dict[str, Any]] | None, text: str | None, now: int, zone: tzinfo | None
) -> tuple[Message, ...]:
    """The messages that are given in either form.

    Raises:
        InvalidInput: both or neither are given, or what is given cannot be read.
    """
    match messages, text:
        case None, str():
            return from_text(text)
        case None, None:
            raise InvalidInput("give messages or text to decide about, or operations that are decided")
        case _, None:
            return read(messages, now, zone)
        case _:
            raise InvalidInput("give only one of messages, text and operations")
