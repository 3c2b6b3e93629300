"""Making a whole store anew in other search languages or with another embedding model: for the operator, not a tool."""

from collections.abc import Callable
from typing import Final, NamedTuple

from mcp_memory.embed.base import Embedder, packed
from mcp_memory.errors import EmbeddingError
from mcp_memory.service.outcomes import Reindexed
from mcp_memory.service.vectors import BATCH
from mcp_memory.store.base import FileSettings, Store

WRITES: Final = 500
"""So many of a user's writes in one transaction: others who write wait a tenth of a second for it."""


class Progress(NamedTuple):
    """`more` of the `total` of one of the two parts, `words` and `vectors`, is done."""

    part: str
    more: int
    total: int


Tell = Callable[[Progress], None]


async def reindex(
    store: Store, embedder: Embedder | None, wanted: FileSettings, tell: Tell, batch: int = BATCH
) -> Reindexed:
    """Change the store's settings to `wanted`, make anew what finds its memories, then the vectors that are missing.

    `embedder` is the one of `wanted.model`, None for no vectors; it gets at most `batch` texts at once. An embedder
    that does not work stops this before anything is changed. After any other error, or a kill, what was done stays and
    the store says `reindexing` until a later run has ended; until then some words are not found, and nothing is lost.

    Raises:
        EmbeddingError: the embedder gave no vectors; where some were made already, with the number of those missing.
        StoreError: the store cannot write, or its settings were changed meanwhile.
    """
    dimensions = int((await embedder.embed(["memory"])).shape[1]) if embedder else 0
    await store.set_settings(wanted.replace(reindexing=True))
    await _words(store, dimensions, tell)
    if embedder is not None:
        await _vectors(store, embedder, batch, tell)
    holdings = await store.users()
    await store.set_settings(wanted)
    return Reindexed(
        users=len(holdings),
        memories=sum(one.memories for one in holdings),
        wordings=sum(one.wordings for one in holdings),
        languages=wanted.languages,
        model=wanted.model,
    )


async def _words(store: Store, dimensions: int, tell: Tell) -> None:
    holdings = await store.users()
    total = sum(one.writes for one in holdings)
    for one in holdings:
        for first in range(1, one.writes + 1, WRITES):
            part = range(first, min(first + WRITES, one.writes + 1))
            await store.reindex(one.user, part, dimensions)
            tell(Progress("words", len(part), total))


async def _vectors(store: Store, embedder: Embedder, batch: int, tell: Tell) -> None:
    holdings = await store.users()
    total = sum(one.lacking for one in holdings)
    for one in holdings:
        before: int | None = None
        while lacking := await store.unembedded(one.user, batch, before):
            try:
                matrix = await embedder.embed([wording.content for wording in lacking])
            except EmbeddingError as error:
                missing = sum(one.lacking for one in await store.users())
                raise EmbeddingError(
                    f"{error}; {missing:,} vectors are missing: run mcp-memory reindex again"
                ) from error
            await store.add_vectors(one.user, list(zip(lacking, packed(matrix), strict=True)))
            before = lacking[-1].row
            tell(Progress("vectors", len(lacking), total))
