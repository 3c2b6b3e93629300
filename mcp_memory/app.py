"""Composition root: a configuration becomes a service on a store, as one async context manager."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from mcp_memory import keys
from mcp_memory.clock import Clock, SystemClock, zone_named
from mcp_memory.config import Config
from mcp_memory.embed.base import Embedder
from mcp_memory.embed.builtin import BuiltinEmbedder
from mcp_memory.errors import McpMemoryError
from mcp_memory.models import Rewritten
from mcp_memory.sections import EmbeddingConfig
from mcp_memory.service import MemoryService
from mcp_memory.service.outcomes import Reindexed
from mcp_memory.service.vectors import BATCH
from mcp_memory.store.base import FileSettings, Store

if TYPE_CHECKING:
    from mcp_memory.extraction.extractor import Extractor
    from mcp_memory.extraction.summarize import Summarizer
    from mcp_memory.service.reindex import Tell
    from mcp_memory.store.sqlite.restore import Archive

OPENAI: Final = "openai/"
"""What the names of an endpoint's models start with."""

BULK_TIMEOUT: Final = 60.0
"""Seconds that many vectors at once may take at least, while nobody waits for a reply."""

BRIEF_TOKENS: Final = 600
BRIEF_WAIT: Final = 0.1
"""Seconds that the start may wait for another process to let the file be read."""

_log = logging.getLogger(__name__)


class App:
    """The parts of one running process. The store is opened by `warm_up` or by the first call that needs it.

    Opening that fails is tried anew by the next caller: what was wrong with the disk may have been put right.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.zone = zone_named(config.timezone)
        self._clock = clock
        self._opened = anyio.Event()
        self._stack = AsyncExitStack()
        self._lock = anyio.Lock()
        self._store: Store | None = None
        self._service: MemoryService | None = None
        self._extractor: Extractor | None = None
        self._summarizer: Summarizer | None = None

    async def service(self) -> MemoryService:
        """The service, its store open.

        Raises:
            StoreError: the store cannot be opened.
        """
        if self._service is None:
            async with self._lock:
                if self._service is None:
                    self._service = await self._open()
        return self._service

    async def extractor(self) -> "Extractor":
        """What turns conversations into memories, its store open.

        Raises:
            StoreError: the store cannot be opened.
        """
        from mcp_memory.extraction.extractor import Extractor
        from mcp_memory.llm.openai import OpenAIModel

        service = await self.service()
        if self._extractor is None:
            model = OpenAIModel(self.config.llm) if self.config.llm.model else None
            if model is not None:
                self._stack.push_async_callback(model.aclose)
            self._extractor = Extractor(service, self.config.extraction, model, self._clock, self.zone)
        return self._extractor

    async def summarizer(self) -> "Summarizer":
        """What has related memories merged, its store open.

        Raises:
            StoreError: the store cannot be opened.
        """
        from mcp_memory.extraction.summarize import Summarizer

        service, extractor = await self.service(), await self.extractor()
        if self._summarizer is None:
            self._summarizer = Summarizer(service, extractor.model)
        return self._summarizer

    def now(self) -> int:
        """The moment, in microseconds since 1970-01-01 UTC."""
        return self._clock.now()

    async def warm_up(self) -> None:
        """Open the store and load the embedder ahead of the first call, which reports what fails here."""
        try:
            service = await self.service()
        except McpMemoryError:
            return
        await service.vectors.probe([])

    async def keep_vectors(self) -> None:
        """In the background, make up for vectors that could not be made in time. Runs until it is cancelled."""
        await self._opened.wait()
        await (await self.service()).vectors.keep_complete()

    async def keep_backups(self) -> None:
        """In the background, back the file up after writes, as configured. Runs until it is cancelled."""
        from mcp_memory.service.backups import AutomaticBackups

        await self._opened.wait()
        store, every = self._store, self.config.backup.interval()
        if store is not None and store.backups is not None and every is not None:
            await AutomaticBackups(store.backups, self._clock, every, self.config.backup.keep).keep_making(store)

    async def keep_swept(self) -> None:
        """In the background, remove what has expired or is no longer kept. Runs until it is cancelled."""
        await self._opened.wait()
        await (await self.service()).retention.keep_swept(self.config.retention)

    async def _open(self) -> MemoryService:
        store = await self._stack.enter_async_context(open_store(self.config, self._clock))
        if store.settings.reindexing:
            _log.warning("reindex was not finished; run mcp-memory reindex, unless it is running now")
        if store.settings.languages != self.config.search.languages:
            _log.warning(
                "this store has the search languages %s; mcp-memory reindex changes them",
                ", ".join(store.settings.languages),
            )
        embedder = embedder_of(store.settings.model, self.config.embedding)
        if embedder is not None:
            self._stack.push_async_callback(embedder.aclose)
        self._store = store
        self._opened.set()
        return MemoryService(
            store,
            self._clock,
            embedder,
            self.zone,
            self.config.search.min_score,
            self.config.secrets.action,
            self.config.approval,
        )

    async def aclose(self) -> None:
        """Close the store, if it was opened."""
        await self._stack.aclose()


@asynccontextmanager
async def open_app(config: Config, clock: Clock | None = None) -> AsyncGenerator[App]:
    """The app of `config`, its store not yet open; all is closed at the end, whatever happened."""
    app = App(config, clock or SystemClock())
    try:
        yield app
    finally:
        with anyio.CancelScope(shield=True):
            await app.aclose()


def embedder_of(model: str, config: EmbeddingConfig) -> Embedder | None:
    """The embedder that makes the vectors of a store; None where this process has none for that model.

    A process that is configured for another model follows the store, and says so.
    """
    wanted = model_of(config)
    if wanted not in {model, ""}:
        _log.warning("this store has the embedding model %s, not %s; mcp-memory reindex changes it", model, wanted)
    if model == BuiltinEmbedder.name and config.provider != "none":
        return BuiltinEmbedder()
    if model.startswith(OPENAI) and config.provider == "openai":
        from mcp_memory.embed.openai import OpenAIEmbedder

        name, dimensions = _asked_of(model, config)
        return OpenAIEmbedder(config.replace(dimensions=dimensions), name)
    return None


def _asked_of(model: str, config: EmbeddingConfig) -> tuple[str, int]:
    """The endpoint's own name of a recorded model, which may have an @ of its own, and the dimensions to ask for."""
    if model == model_of(config):
        return config.model, config.dimensions
    name, at, dimensions = model.removeprefix(OPENAI).rpartition("@")
    return (name, int(dimensions)) if at and dimensions.isdecimal() else (model.removeprefix(OPENAI), 0)


async def reindex_store(config: Config, tell: "Tell") -> Reindexed:
    """Make everything in the store of `config` anew with the search languages and the embedding model of `config`.

    Raises:
        EmbeddingError: the configured embedder gave no vectors.
        StoreError: the store cannot be opened or written.
    """
    from mcp_memory.service.reindex import reindex

    settings = config.embedding
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(config, SystemClock()))
        embedder = _bulk_embedder(settings)
        if embedder is not None:
            stack.push_async_callback(embedder.aclose)
        wanted = FileSettings(languages=config.search.languages, model=model_of(settings))
        return await reindex(store, embedder, wanted, tell, min(settings.batch, BATCH))


async def brief(config: Config, most: int) -> str:
    """The profile that stands in a server's instructions, at most `most` bytes long in UTF-8; empty where none shall.

    A client waits meanwhile: it is left out where there is no file yet, or where that is encrypted, waits for a newer
    schema or cannot be read at once.
    """
    encryption = config.encryption
    locked = encryption.key_env or encryption.key_command or encryption.keyring
    if not config.profile.in_instructions or config.identity != "fixed" or config.ephemeral or locked:
        return ""
    from mcp_memory.store.sqlite.glance import open_glance

    tokens = min(config.profile.max_tokens, BRIEF_TOKENS)
    try:
        async with open_glance(config.path(), BRIEF_WAIT) as store:
            service = MemoryService(store, SystemClock())
            made = await service.profiles.profile(config.user, tokens, max_bytes=most)
    except McpMemoryError as error:
        _log.info("the instructions have no profile: %s", error)
        return ""
    return made.text if made.groups else ""


def rewrite_store(config: Config, old: keys.Key | None, new: keys.Key | None) -> Rewritten:
    """Give the file of `config`, which `old` opens, the key `new`; None is no encryption. Blocks, and stops on Ctrl-C.

    Raises:
        ConfigError: SQLCipher is not installed.
        StoreError: the file is in use, or cannot be opened with `old` or copied; it is as it was.
    """
    from mcp_memory.store.sqlite.rewriting import rewrite

    return rewrite(config.path(), old, new)


def _bulk_embedder(config: EmbeddingConfig) -> Embedder | None:
    match config.provider:
        case "builtin":
            return BuiltinEmbedder()
        case "openai":
            from mcp_memory.embed.openai import OpenAIEmbedder

            patient = config.replace(timeout=max(config.timeout, BULK_TIMEOUT))
            return OpenAIEmbedder(patient, config.model, longest_pause=0)
        case "none":
            return None


def model_of(config: EmbeddingConfig) -> str:
    """The name under which a store records the configured model; empty for none."""
    match config.provider:
        case "builtin":
            return BuiltinEmbedder.name
        case "openai":
            return OPENAI + config.model + (f"@{config.dimensions}" if config.dimensions else "")
        case "none":
            return ""


async def archive_of(config: Config) -> "Archive":
    """The backups of the file that `config` names, for whoever asks for one.

    Raises:
        ConfigError: its key cannot be had.
    """
    from mcp_memory.store.sqlite.restore import Archive

    return Archive(config.path(), config.store.lock_timeout, await keys.find(config.encryption))


@asynccontextmanager
async def open_store(config: Config, clock: Clock) -> AsyncGenerator[Store]:
    """The store that `config` names.

    Raises:
        StoreError: it cannot be opened.
    """
    wanted = FileSettings(languages=config.search.languages, model=model_of(config.embedding))
    if config.ephemeral:
        from mcp_memory.store.ephemeral import EphemeralStore

        yield EphemeralStore(wanted)
    else:
        from mcp_memory.store.sqlite import open_store as open_sqlite

        cache = config.search.cache_mb << 20
        key = await keys.find(config.encryption)
        async with open_sqlite(config.path(), clock.now(), config.store.lock_timeout, wanted, cache, key) as store:
            yield store
