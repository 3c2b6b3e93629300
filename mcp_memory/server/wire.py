"""Between the SDK and the pipes: unreadable lines are answered, and it is noticed when the first reply has gone out.

The SDK drops a line that is no readable JSON, and its caller would wait for ever. It happens to honest clients too: a
text cut in the middle of an emoji is sent as half of a surrogate pair.
"""

import json
import re
from types import TracebackType
from typing import Final, Protocol, Self, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from mcp_memory import text

_ID: Final = re.compile(r'"id"\s*:\s*(?:(\d{1,15})|"([^"\\]{1,200})")')
_SHOWN: Final = 200


class _Source(Protocol):
    """What the SDK's streams are read by; their own types are private."""

    async def receive(self) -> SessionMessage | Exception: ...
    async def aclose(self) -> None: ...


class _Sink(Protocol):
    """What they are written by."""

    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class AnsweredStream:
    """What the SDK reads from stdin; unreadable lines with an id are answered with a parse error on `write`."""

    def __init__(self, read: _Source, write: _Sink) -> None:
        self._read = read
        self._write = write

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: stdin has ended.
        """
        while True:
            item = await self._read.receive()
            answer = _answer(item) if isinstance(item, ValidationError) else None
            if answer is None:
                return item
            await self._write.send(SessionMessage(answer))

    async def aclose(self) -> None:
        """Read no more."""
        await self._read.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class NoticedStream:
    """What the SDK writes to stdout; `replied` is set when the first message, the handshake's reply, is on its way."""

    def __init__(self, write: _Sink, replied: anyio.Event) -> None:
        self._write = write
        self._replied = replied

    async def send(self, item: SessionMessage, /) -> None:
        """Hand one message to the task that writes stdout.

        Raises:
            anyio.BrokenResourceError: nobody writes any more.
        """
        await self._write.send(item)
        self._replied.set()

    async def aclose(self) -> None:
        """Write no more."""
        await self._write.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _answer(error: ValidationError) -> JSONRPCError | None:
    """The reply to the line that `error` is about; None where it is another error, or the line has no id."""
    first = error.errors(include_url=False, include_context=False)[0]
    line = first["input"]
    if first["type"] != "json_invalid" or not isinstance(line, str) or (request_id := _id_of(line)) is None:
        return None
    message = f"{first['msg'][:_SHOWN]}; send valid JSON with whole Unicode characters"
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=PARSE_ERROR, message=message))


def _id_of(line: str) -> int | str | None:
    """The request's id. Python's parser takes more than the SDK's; where it gives up too, the first id in sight."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        found = _ID.search(line)
        return (int(found[1]) if found[1] else found[2]) if found else None
    request_id = cast("dict[str, object]", message).get("id") if isinstance(message, dict) else None
    if isinstance(request_id, str):
        return None if text.lone_surrogate(request_id) else request_id
    return request_id if isinstance(request_id, int) and not isinstance(request_id, bool) else None
