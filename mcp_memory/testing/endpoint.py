"""An HTTP server on loopback that speaks the OpenAI API and follows a script, for tests of what talks to one.

    async with scripted_endpoint() as endpoint:
        endpoint.embeddings.then(Status(429, {"retry-after": "1"}), Closed())  # the next two requests
        endpoint.embeddings.otherwise = Status(500)  # every one after them; without it, sound vectors
        endpoint.chat.then(Chat('{"answer": 42}'), Delayed(0.5, Chat("{}")))
        endpoint.chat.otherwise = Computed(lambda request: Chat(request.body["messages"][-1]["content"]))

What it received stands in `endpoint.requests`, in order of arrival.
"""

import asyncio
import json
import re
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

_WORD: Final = re.compile(r"\w+")
_JSON: Final = {"content-type": "application/json"}


@dataclass(frozen=True)
class Received:
    """One request: its method, path, headers (names in lower case) and parsed JSON body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Vectors:
    """A sound answer to a request for embeddings: `bag_of_words` of each text, not normalised."""


@dataclass(frozen=True)
class Altered:
    """The sound answer after `change` made something else of its list `data`."""

    change: Callable[[list[dict[str, Any]]], object]


@dataclass(frozen=True)
class Chat:
    """A chat completion of one choice, not streamed."""

    content: str
    finish_reason: str = "stop"
    refusal: str | None = None


@dataclass(frozen=True)
class Status:
    """An HTTP status with headers and a JSON body; `None` for an error as the API words it."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None


@dataclass(frozen=True)
class Raw:
    """Any bytes as the body of a 200, said to be JSON."""

    body: bytes


@dataclass(frozen=True)
class Truncated:
    """The head of an answer and half of its body, then the connection is closed."""

    answer: "Vectors | Altered | Chat | Raw" = Vectors()


@dataclass(frozen=True)
class Closed:
    """The connection is closed without a byte of answer."""


@dataclass(frozen=True)
class Held:
    """No answer until `released` is set, then `then`; or until the client goes away, which sets `abandoned`.

    `reached` is set when a request has come to wait here.
    """

    then: "Reply" = Vectors()
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Delayed:
    """`then`, after that many seconds; nothing, if the client goes away before."""

    seconds: float
    then: "Reply"


@dataclass(frozen=True)
class Computed:
    """The reply that `reply` makes of the request."""

    reply: Callable[[Received], "Reply"]


@dataclass(frozen=True)
class Refusing:
    """A 400 that names the first of `parameters` in the request, as OpenAI words it; without any of them, `then`.

    A parameter is the name of a field, or the type of a `response_format`.
    """

    parameters: Sequence[str]
    then: "Reply"


Reply = Vectors | Altered | Chat | Status | Raw | Truncated | Closed | Held | Delayed | Computed | Refusing
_Answer = Vectors | Altered | Chat | Status | Raw | Truncated | Closed


class Script:
    """What one path answers: the replies of `then`, each once and in order, and `otherwise` when none is left."""

    def __init__(self, otherwise: Reply) -> None:
        self.otherwise = otherwise
        self._queue: deque[Reply] = deque()

    def then(self, *replies: Reply) -> None:
        """Put these at the end of the queue."""
        self._queue.extend(replies)

    def next(self) -> Reply:
        """The reply to the request at hand."""
        return self._queue.popleft() if self._queue else self.otherwise


class ScriptedEndpoint:
    """The server as a test sees it. `dimensions` is what its embeddings have unless a request asks for others."""

    def __init__(self, dimensions: int) -> None:
        self.base_url = ""
        self.requests: list[Received] = []
        self.embeddings = Script(Vectors())
        self.chat = Script(Status(400, body={"error": {"message": "the script has no chat reply left"}}))
        self._dimensions = dimensions

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client or the script ends it."""
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                reply = await _settled(self._script(request).next(), request, reader)
                if reply is None:
                    return
                writer.write(_message(reply, request, self._dimensions))
                await writer.drain()
                if isinstance(reply, Truncated | Closed):
                    return
        except ConnectionError:
            return  # the client went away in the middle: that is its right, and many tests' subject
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _script(self, request: Received) -> Script:
        match request.method, request.path:
            case "POST", "/v1/embeddings":
                return self.embeddings
            case "POST", "/v1/chat/completions":
                return self.chat
            case _:
                return Script(Status(404))


@asynccontextmanager
async def scripted_endpoint(dimensions: int = 64) -> AsyncGenerator[ScriptedEndpoint]:
    """A server on a free port of 127.0.0.1, for the length of the block.

    Raises:
        Exception: whatever failed inside the server, such as the `change` of an `Altered`, at the end of the block.
    """
    endpoint = ScriptedEndpoint(dimensions)
    tasks: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(endpoint.converse(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    endpoint.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    ended: list[BaseException | None] = []
    try:
        yield endpoint
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        ended += await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
    for error in ended:
        if isinstance(error, Exception):
            raise error


def bag_of_words(text: str, dimensions: int) -> list[float]:
    """How often each word stands in `text`, words sharing places by hash: the more words in common, the closer."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.casefold()) or [""]:
        vector[zlib.crc32(word.encode("utf-8")) % dimensions] += 1.0
    return vector


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection; None when the client has closed it, or does not speak HTTP."""
    try:
        first = await reader.readexactly(1)
        if not first.isalpha():
            return None
        head = first + await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (given.partition(":") for given in fields)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = line.split(" ")
    return Received(method, path, headers, json.loads(content) if content else None)


async def _settled(reply: Reply, request: Received, reader: asyncio.StreamReader) -> _Answer | None:
    """What `reply` comes to in the end; None if the client goes away before."""
    while True:
        match reply:
            case Held(then, reached, released, abandoned):
                reached.set()
                if not await _stays(reader, released.wait()):
                    abandoned.set()
                    return None
                reply = then
            case Delayed(seconds, then):
                if not await _stays(reader, asyncio.sleep(seconds)):
                    return None
                reply = then
            case Computed(compute):
                reply = compute(request)
            case Refusing(parameters, then):
                reply = _refusal(parameters, request.body) or then
            case _:
                return reply


async def _stays(reader: asyncio.StreamReader, until: Coroutine[Any, Any, object]) -> bool:
    """Whether the client is still there when `until` is done."""
    done, gone = asyncio.create_task(until), asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        return done.done()
    finally:
        done.cancel()
        gone.cancel()
        await asyncio.gather(done, gone, return_exceptions=True)


def _refusal(parameters: Sequence[str], body: dict[str, Any]) -> Status | None:
    form = body.get("response_format", {}).get("type")
    for name in parameters:
        if name in body or name == form:
            known = name if name in body else "response_format"
            told = f"Unsupported parameter: '{name}' is not supported with this model."
            error = {"message": told, "type": "invalid_request_error", "param": known, "code": "unsupported_parameter"}
            return Status(400, body={"error": error})
    return None


def _message(reply: _Answer, request: Received, dimensions: int) -> bytes:
    """The bytes of a whole response, or as many of them as the script lets through."""
    match reply:
        case Status(code, headers, body):
            error = {"message": f"scripted {code}", "type": "scripted", "param": None, "code": None}
            return _response(code, headers, _dumped({"error": error} if body is None else body))
        case Closed():
            return b""
        case Truncated(answer):
            content = _content(answer, request, dimensions)
            return _response(200, {}, content)[: -len(content) // 2]
        case _:
            return _response(200, {}, _content(reply, request, dimensions))


def _content(answer: Vectors | Altered | Chat | Raw, request: Received, dimensions: int) -> bytes:
    match answer:
        case Raw(content):
            return content
        case Chat():
            return _dumped(_completion(answer, request.body))
        case Altered(change):
            return _dumped(_embeddings(request.body, dimensions, change))
        case Vectors():
            return _dumped(_embeddings(request.body, dimensions, list))


def _response(code: int, headers: Mapping[str, str], body: bytes) -> bytes:
    phrase = HTTPStatus(code).phrase
    fields = {**_JSON, **headers, "content-length": str(len(body))}
    lines = [f"HTTP/1.1 {code} {phrase}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _embeddings(
    body: dict[str, Any], dimensions: int, change: Callable[[list[dict[str, Any]]], object]
) -> dict[str, Any]:
    given: str | list[str] = body["input"]
    texts = [given] if isinstance(given, str) else given
    vectors = [bag_of_words(text, body.get("dimensions") or dimensions) for text in texts]
    data: list[dict[str, Any]] = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": change(data), "model": body["model"], "usage": usage}


def _completion(reply: Chat, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    head = {"id": "chatcmpl-scripted", "object": "chat.completion", "created": 0, "model": body["model"]}
    return {**head, "choices": [choice], "usage": usage}


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode("utf-8")
