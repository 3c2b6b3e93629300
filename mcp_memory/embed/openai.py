"""Vectors from any endpoint that speaks OpenAI's embeddings API: OpenAI, Ollama, LM Studio, vLLM and many more.

Nothing is imported and nothing is sent before the first text. Whatever goes wrong becomes one EmbeddingError, which
repeats nothing of the key, of the texts, or of what the server wrote: that may quote both.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from msgspec import Struct, convert

from mcp_memory.endpoint import API, Endpoint, Fault, sendable
from mcp_memory.errors import EmbeddingError
from mcp_memory.sections import EmbeddingConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openai import AsyncOpenAI

    from mcp_memory.embed.base import Matrix

_FIRST_PAUSE: Final = 1.0
_RETRIES: Final = 1
_BATCH: Final = "set embedding.batch = 1, or another embedding.model"
_ADVICE: Final[Mapping[int, str]] = {
    400: "check embedding.model and embedding.dimensions",
    413: "lower embedding.batch",
    422: "check embedding.model and embedding.dimensions",
    429: "wait, or lower embedding.batch",
}


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
        self._endpoint = Endpoint("embedding", config, _ADVICE)
        self._pauses = _Pauses(longest_pause, time)

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """The vectors of `texts` in their order, shape (texts, dimensions), of unit length; within `timeout` seconds.

        Raises:
            EmbeddingError: no usable vectors came in time; the message is one line that names the setting to change.
        """
        if not texts:
            return _no_vectors(self.dimensions or 0)
        known = self._pauses.check()
        try:
            matrix = await self._endpoint.within(self._config.timeout, partial(self._vectors, texts))
        except Fault as error:
            fault = error
        else:
            self._pauses.end()
            self.dimensions = matrix.shape[1]
            return matrix
        message = self._endpoint.message(self._model, fault)
        if fault.rest is not None:
            self._pauses.begin(message, known, fault.rest)
        raise EmbeddingError(message)

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        await self._endpoint.aclose()

    async def _vectors(self, texts: Sequence[str]) -> "Matrix":
        size = self._config.batch
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        found: list[Matrix] = []
        for batch in batches:
            content = await self._endpoint.answer(partial(self._request, batch), _RETRIES)
            found.append(await anyio.to_thread.run_sync(_matrix, content, len(batch)))  # which imports numpy
            self._check_width(found)
        return _stacked(found)

    def _check_width(self, found: "Sequence[Matrix]") -> None:
        width, asked = found[-1].shape[1], self._config.dimensions
        if asked and width != asked:
            what = f"{asked} dimensions were asked for and {width} came"
            raise Fault(what, f"set embedding.dimensions = {width}, or 0 for the model's own")
        before = self.dimensions or found[0].shape[1]
        if width != before:
            what = f"its vectors had {before} dimensions and now have {width}"
            raise Fault(what, "if embedding.model means another model now, run mcp-memory reindex")

    async def _request(self, texts: Sequence[str], client: "AsyncOpenAI") -> bytes:
        from openai import omit

        answer = await client.embeddings.with_raw_response.create(
            input=[sendable(text) for text in texts],
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


class _Item(Struct):
    """One vector; Gemini leaves out an `index` of 0, other servers every one."""

    embedding: list[float]
    index: int | None = None


class _Answer(Struct):
    data: list[_Item]


def _matrix(content: bytes, asked: int) -> "Matrix":
    """The vectors of one answer, in the order of its indices, normalised."""
    import numpy as np

    try:
        items = convert(json.loads(content), _Answer).data  # msgspec reads no NaN, which some servers send
    except (ValueError, RecursionError):
        raise Fault("what it answers is no list of embeddings", API) from None
    if len(items) != asked:
        raise Fault(f"{len(items)} vectors came for {asked} texts", _BATCH)
    places = [position if item.index is None else item.index for position, item in enumerate(items)]
    if sorted(places) != list(range(asked)):
        raise Fault("its vectors are not numbered as the texts are", _BATCH)
    widths = {len(item.embedding) for item in items}
    if len(widths) > 1 or 0 in widths:
        raise Fault("its vectors are empty, or not all of one length", "check embedding.model")
    rows = np.empty((asked, widths.pop()), np.float64)
    rows[places] = [item.embedding for item in items]
    return _normalised(rows)


def _normalised(rows: "NDArray[np.float64]") -> "Matrix":
    import numpy as np

    peaks = np.abs(rows).max(axis=1, keepdims=True)
    if not np.isfinite(peaks).all() or not peaks.all():
        what = "some vectors are zero or hold values that are no numbers"
        raise Fault(what, "the model fails on some text; check the server, or set another embedding.model", rest=None)
    rows /= peaks  # first, because squares of large or small values leave the range of floats
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _stacked(parts: "Sequence[Matrix]") -> "Matrix":
    import numpy as np

    return np.concatenate(parts)


def _no_vectors(dimensions: int) -> "Matrix":
    import numpy as np

    return np.empty((0, dimensions), np.float32)
