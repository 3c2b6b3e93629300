"""Vectors from any endpoint that speaks OpenAI's embeddings API: OpenAI, Ollama, LM Studio, vLLM and many more.

Nothing is imported and nothing is sent before the first text. Whatever goes wrong becomes one EmbeddingError, made in
one place, which repeats nothing of the key, of the texts, or of what the server wrote: that may quote both.
"""

import logging
import math
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import anyio
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, ValidationError

from mcp_memory.config import EmbeddingConfig
from mcp_memory.errors import EmbeddingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openai import APIStatusError, AsyncOpenAI, OpenAIError

    from mcp_memory.embed.base import Matrix

_OPENAI: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"
"""Sent where no key is configured: servers on one's own machine may want the header, but do not look into it."""

_FIRST_PAUSE: Final = 1.0
_RETRY_DELAY: Final = 0.25
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

_API: Final = (
    "embedding.base_url must be an OpenAI-compatible API (it often ends in /v1), embedding.model a model of it"
)
_BATCH: Final = "set embedding.batch = 1, or another embedding.model"
_STATUS: Final[Mapping[int, str]] = {
    400: "check embedding.model and embedding.dimensions",
    401: "check the key in {variable}",
    403: "check that the key in {variable} may use embedding.model",
    404: "check embedding.model and embedding.base_url",
    413: "lower embedding.batch",
    422: "check embedding.model and embedding.dimensions",
    429: "wait, or lower embedding.batch",
}
_OF_THE_TEXTS: Final = frozenset({400, 413, 422})
"""Refusals of what was sent, which say nothing about the next texts."""
_WORTH_A_RETRY: Final = frozenset({408, 409, 429})
"""And every 5xx. Source: the retry rules of the openai package."""


class _Fault(Exception):
    """What went wrong, the next step, and what follows from it.

    `retry`: seconds after which one more try makes sense; None: it does not.
    `rest`: seconds to leave the endpoint alone for at least; None: the next texts may well succeed.
    """

    def __init__(self, what: str, advice: str, *, retry: float | None = None, rest: float | None = 0.0) -> None:
        super().__init__(what)
        self.what, self.advice, self.retry, self.rest = what, advice, retry, rest


class OpenAIEmbedder:
    """One model of one endpoint. A failure is repeated at once, without a request, while its pause lasts.

    The pause is 1 s after the first failure (more if the server asks for more), doubles with each that follows up to
    `longest_pause`, and is forgotten after a success. With `longest_pause=0` every call goes out: for bulk work.
    `time` tells seconds from any start.
    """

    multilingual = True

    def __init__(
        self,
        config: EmbeddingConfig,
        model: str,
        *,
        longest_pause: float = 60.0,
        time: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.name = f"openai/{model}@{config.dimensions}" if config.dimensions else f"openai/{model}"
        self.dimensions: int | None = None
        self._config = config
        self._model = model
        self._address = _address(config.base_url or _OPENAI)
        self._pauses = _Pauses(longest_pause, time)
        self._lock = anyio.Lock()
        self._client: AsyncOpenAI | None = None

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """The vectors of `texts` in their order, shape (texts, dimensions), of unit length; within `timeout` seconds.

        Raises:
            EmbeddingError: no usable vectors came in time; the message is one line that names the setting to change.
        """
        if not texts:
            return _no_vectors(self.dimensions or 0)
        known = self._pauses.check()
        try:
            with anyio.fail_after(self._config.timeout):
                matrix = await self._vectors(texts)
        except TimeoutError:
            fault = _Fault(
                f"no answer within {self._config.timeout:g} s", "check the server, or raise embedding.timeout"
            )
        except _Fault as error:
            fault = error
        else:
            self._pauses.end()
            self.dimensions = matrix.shape[1]
            return matrix
        message = self._message(fault)
        if fault.rest is not None:
            self._pauses.begin(message, known, fault.rest)
        raise EmbeddingError(message)

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _message(self, fault: _Fault) -> str:
        endpoint = _shown(self._address) if self._address else "embedding endpoint"
        variable = self._config.api_key_env or "embedding.api_key_env"
        advice = fault.advice.replace("{variable}", variable)
        return " ".join(f"{endpoint}, model {self._model!r}: {fault.what}; {advice}".split())

    async def _vectors(self, texts: Sequence[str]) -> "Matrix":
        client = await self._opened()
        size = self._config.batch
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        found: list[Matrix] = []
        for batch in batches:
            content = await self._answer(client, batch)
            found.append(await anyio.to_thread.run_sync(_matrix, content, len(batch)))  # which imports numpy
            self._check_width(found)
        return _stacked(found)

    def _check_width(self, found: "Sequence[Matrix]") -> None:
        width, asked = found[-1].shape[1], self._config.dimensions
        if asked and width != asked:
            what = f"{asked} dimensions were asked for and {width} came"
            raise _Fault(what, f"set embedding.dimensions = {width}, or 0 for the model's own")
        before = self.dimensions or found[0].shape[1]
        if width != before:
            what = f"its vectors had {before} dimensions and now have {width}"
            raise _Fault(what, "if embedding.model means another model now, run mcp-memory reindex")

    async def _opened(self) -> "AsyncOpenAI":
        async with self._lock:
            if self._client is None:
                address, key = self._where_and_key()
                # Abandoned on a timeout: the import goes on, and the next call finds it done.
                opening = partial(_open, address, key)
                self._client = await anyio.to_thread.run_sync(opening, abandon_on_cancel=True)
            return self._client

    def _where_and_key(self) -> tuple[str, str]:
        if self._address is None:
            what = "embedding.base_url is no http or https address without a query"
            raise _Fault(what, "set it to one such as http://127.0.0.1:11434/v1")
        key = self._config.api_key.get_secret_value().strip()
        if not key and not self._config.base_url:
            raise _Fault("no key", "set the variable {variable}, or embedding.base_url to a server that needs none")
        if not (key.isascii() and key.isprintable()):
            raise _Fault("the key has characters that no HTTP header carries", "check the key in {variable}")
        return str(self._address), key or _NO_KEY

    async def _answer(self, client: "AsyncOpenAI", texts: Sequence[str]) -> bytes:
        """The body of the answer to one batch, after a second try where that may help and time allows."""
        from openai import OpenAIError

        for tries_left in (1, 0):
            try:
                return await self._request(client, texts)
            except OpenAIError as error:
                fault = _fault(error)
            late = anyio.current_time() + (fault.retry or 0) >= anyio.current_effective_deadline()
            if fault.retry is None or late or not tries_left:
                raise fault
            await anyio.sleep(fault.retry)
        raise AssertionError

    async def _request(self, client: "AsyncOpenAI", texts: Sequence[str]) -> bytes:
        from openai import omit

        answer = await client.embeddings.with_raw_response.create(
            # UTF-8 has no lone surrogates, and a text with one is still worth its vector.
            input=[text.encode("utf-8", "replace").decode("utf-8") for text in texts],
            model=self._model,
            dimensions=self._config.dimensions or omit,
            encoding_format="float",  # the package would ask for base64, which many servers ignore or refuse
        )
        return answer.content


@dataclass(frozen=True)
class _Pause:
    message: str
    length: float
    until: float


class _Pauses:
    """When to leave a failing endpoint alone, so that callers do not each wait for it in vain."""

    def __init__(self, longest: float, time: Callable[[], float]) -> None:
        self._longest = longest
        self._time = time
        self._latest: _Pause | None = None

    def check(self) -> _Pause | None:
        """The pause that came last, if no success followed it.

        Raises:
            EmbeddingError: it still lasts; the message is that of the failure.
        """
        if self._latest is not None and self._time() < self._latest.until:
            raise EmbeddingError(self._latest.message)
        return self._latest

    def begin(self, message: str, known: _Pause | None, least: float) -> None:
        """Pause after a failure of a call that began when `known` was the latest pause.

        Of calls that fail side by side only the first counts: they met one and the same outage.
        """
        if self._latest is known:
            length = min(max(2 * known.length if known else _FIRST_PAUSE, least), self._longest)
            self._latest = _Pause(message, length, self._time() + length)

    def end(self) -> None:
        """A call succeeded."""
        self._latest = None


class _Item(BaseModel):
    """One vector; Gemini leaves out an `index` of 0, other servers every one."""

    model_config = ConfigDict(strict=True)

    embedding: list[float]
    index: int | None = None


class _Answer(BaseModel):
    data: list[_Item]


def _matrix(content: bytes, asked: int) -> "Matrix":
    """The vectors of one answer, in the order of its indices, normalised."""
    import numpy as np

    try:
        items = _Answer.model_validate_json(content).data
    except ValidationError:
        raise _Fault("what it answers is no list of embeddings", _API) from None
    if len(items) != asked:
        raise _Fault(f"{len(items)} vectors came for {asked} texts", _BATCH)
    places = [position if item.index is None else item.index for position, item in enumerate(items)]
    if sorted(places) != list(range(asked)):
        raise _Fault("its vectors are not numbered as the texts are", _BATCH)
    widths = {len(item.embedding) for item in items}
    if len(widths) > 1 or 0 in widths:
        raise _Fault("its vectors are empty, or not all of one length", "check embedding.model")
    rows = np.empty((asked, widths.pop()), np.float64)
    rows[places] = [item.embedding for item in items]
    return _normalised(rows)


def _normalised(rows: "NDArray[np.float64]") -> "Matrix":
    import numpy as np

    peaks = np.abs(rows).max(axis=1, keepdims=True)
    if not np.isfinite(peaks).all() or not peaks.all():
        what = "some vectors are zero or hold values that are no numbers"
        raise _Fault(what, "the model fails on some text; check the server, or set another embedding.model", rest=None)
    rows /= peaks  # first, because squares of large or small values leave the range of floats
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _stacked(parts: "Sequence[Matrix]") -> "Matrix":
    import numpy as np

    return np.concatenate(parts)


def _no_vectors(dimensions: int) -> "Matrix":
    import numpy as np

    return np.empty((0, dimensions), np.float32)


def _open(address: str, key: str) -> "AsyncOpenAI":
    """A client that sends nothing but what it is told to. On first use it takes a second or more: in a thread, then."""
    try:
        import openai

        log = logging.getLogger("openai")
        if log.level == logging.NOTSET:
            log.setLevel(logging.INFO)  # below that it writes out whole requests, texts included
        # Reading whom to trust takes 60 ms; plain http needs a context that trusts nobody.
        verify = True if address.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A redirect would take texts to an address that nobody configured.
        transport = openai.DefaultAsyncHttpxClient(follow_redirects=False, timeout=None, verify=verify)
    except (ImportError, OSError, ValueError) as error:
        what = f"no client could be made ({type(error).__name__})"
        raise _Fault(what, "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment") from error
    client = openai.AsyncOpenAI(api_key=key, base_url=address, max_retries=0, timeout=None, http_client=transport)
    client.organization = client.project = None  # else taken from variables, whatever the endpoint
    _ = client.embeddings.with_raw_response  # loads the package's larger half
    return client


def _address(base_url: str) -> AnyHttpUrl | None:
    """The address, normalised; None where it is none, or has a query, which the openai package would mangle."""
    try:
        address = AnyHttpUrl(base_url)
    except ValidationError:
        return None
    return None if address.query or address.fragment else address


def _shown(address: AnyHttpUrl) -> str:
    """The address without the name and password that it may carry."""
    default = {"http": 80, "https": 443}[address.scheme]
    port = "" if address.port == default else f":{address.port}"
    return f"{address.scheme}://{address.host}{port}{(address.path or '').rstrip('/')}"


def _fault(error: "OpenAIError") -> _Fault:
    """The one place where what the openai package raises is told in our words."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refusal(error)
    for cause in _causes(error):
        match cause:
            case ConnectionRefusedError():
                return _Fault("connection refused", "start the server, or change embedding.base_url")
            case socket.gaierror():
                return _Fault("its name is not known to the network", "check embedding.base_url and the network")
            case ssl.SSLError():
                return _Fault("no trusted TLS connection", "check https in embedding.base_url, or set SSL_CERT_FILE")
            case _:
                pass
    return _Fault("the connection broke", "check the server and embedding.base_url", retry=0)


def _refusal(error: "APIStatusError") -> _Fault:
    status = error.status_code
    if error.code == "insufficient_quota":
        return _Fault("the account has no credit left", "check the plan behind the key in {variable}")
    if status < 400:
        return _Fault(f"it redirects (status {status})", "set embedding.base_url to the final address")
    asked = _retry_after(error.response.headers)
    again = status in _WORTH_A_RETRY or status >= 500
    return _Fault(
        f"status {status}",
        _STATUS.get(status, "check the server and embedding.base_url"),
        retry=(_RETRY_DELAY if asked is None else asked) if again else None,
        rest=None if status in _OF_THE_TEXTS else asked or 0.0,
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to be left alone; None where it asks nothing, infinite where it names a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        given = headers.get(name, "").strip()
        if given:
            return float(given) / unit if _NUMBER.fullmatch(given) else math.inf
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What `error` was raised from, and so on; of the addresses of a name that all failed, each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
