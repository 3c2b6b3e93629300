"""The embedder at the service of a store. Without vectors a search still finds by words, and a write still succeeds."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import anyio

from mcp_memory.embed.base import Embedder, packed
from mcp_memory.errors import EmbeddingError, McpMemoryError
from mcp_memory.models import Candidates, Vector
from mcp_memory.store.base import Store
from mcp_memory.values import Value

if TYPE_CHECKING:
    from mcp_memory.embed.base import Matrix

BATCH: Final = 64
"""Wordings that get their vectors in one go; with the built-in table a few milliseconds."""

_log = logging.getLogger(__name__)


class Probe(Value):
    """The vectors of some texts; without `matrix`, `failure` says what went wrong, or there is no embedder."""

    matrix: "Matrix | None" = None
    failure: str | None = None


class Vectors:
    """Makes vectors for searches and writes, and later makes up for those that could not be made in time."""

    def __init__(self, store: Store, embedder: Embedder | None) -> None:
        self._store = store
        self._embedder = embedder
        self._lacking: set[str] = set()
        self._wanted = anyio.Event()

    @property
    def multilingual(self) -> bool:
        """Whether the vectors can be trusted in every script."""
        return self._embedder is not None and self._embedder.multilingual

    async def probe(self, texts: Sequence[str]) -> Probe:
        """The vectors of `texts`, if they can be had."""
        if self._embedder is None:
            return Probe()
        try:
            return Probe(matrix=await self._embedder.embed(texts))
        except EmbeddingError as error:
            return Probe(failure=str(error))

    async def of(self, text: str) -> Vector | None:
        """The vector to keep of one text, if it can be had."""
        return kept(await self.probe([text]))

    def notice(self, user: str, found: Candidates) -> None:
        """Have vectors made up for where a search met memories without one."""
        part = slice(found.current)
        if self._embedder is not None and (found.kept[part] & (found.scales[part] == 0)).any():
            self.want(user)

    def want(self, user: str) -> None:
        """Have the vectors of `user` completed in the background."""
        self._lacking.add(user)
        self._wanted.set()

    async def complete(self, user: str, tell: Callable[[int], None] | None = None) -> int:
        """Make the vectors that `user` lacks; how many. `tell` gets how many more are made.

        Raises:
            EmbeddingError: the embedder gave none.
            StoreError: the store could not keep them.
        """
        made = 0
        before: int | None = None
        while self._embedder is not None and (lacking := await self._store.unembedded(user, BATCH, before)):
            vectors = packed(await self._embedder.embed([wording.content for wording in lacking]))
            await self._store.add_vectors(user, list(zip(lacking, vectors, strict=True)))
            made += len(lacking)
            before = lacking[-1].row  # what is written meanwhile is missed by the next search, and wanted then
            if tell is not None:
                tell(len(lacking))
        return made

    async def keep_complete(self) -> None:
        """Complete the vectors of the users for whom that was wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            await self.settle()

    async def settle(self) -> None:
        """Complete the vectors of the users for whom that is wanted by now."""
        users, self._lacking = self._lacking, set()
        for user in users:
            try:
                await self.complete(user)
            except McpMemoryError as error:  # wanted again by the next search that meets the gap
                _log.info("vectors are still missing: %s", error)


def all_kept(probe: Probe, count: int) -> list[Vector | None]:
    """The vectors of `count` texts as they are kept."""
    return list(packed(probe.matrix)) if probe.matrix is not None else [None] * count


def kept(probe: Probe) -> Vector | None:
    """The first of the vectors as it is kept."""
    return packed(probe.matrix[:1])[0] if probe.matrix is not None else None
