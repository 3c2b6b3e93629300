"""Everything that can go wrong, as one tree.

    McpMemoryError
    ├── InvalidInput          an argument is wrong; the message says which and what would be right
    ├── NotFound              nothing of that id, key or change belongs to this user
    ├── Conflict              the request is sound but what is stored stands in its way
    │   ├── VersionConflict   `if_version` no longer holds
    │   └── UndoRefused       a later change, or another memory, is in the way of an undo
    ├── ConfigError           a setting cannot be used
    ├── EmbeddingError        an embedding endpoint gave no usable vectors; names the setting to change
    ├── ModelError            a chat model gave no usable reply; names the setting to change
    └── StoreError            the store cannot do its work; always names the file
        ├── StoreBusy         another process kept the write lock until the deadline; nothing was written
        ├── StoreFull         no space left, or none that this process may use; nothing was written
        ├── StoreUnavailable  the file or its folder cannot be opened or written
        │   └── WrongKey      an encrypted file, but not by the key that there is; or damaged, which looks the same
        ├── StoreCorrupt      the file is damaged, or not a database
        │   └── StoreUnreadable   nothing of it can be read: encrypted, or no database
        └── StoreTooNew       a newer version of mcp-memory owns the file, or it is not ours

Every message is one line: what was wrong, then the next step. Adapters map foreign errors here once; `server.errors`
turns these into tool errors once.
"""

from collections.abc import Sequence
from pathlib import Path


class McpMemoryError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInput(McpMemoryError):
    """An argument is outside what is accepted."""


class NotFound(McpMemoryError):
    """Nothing of that name belongs to this user; another user's is not found either."""


class Conflict(McpMemoryError):
    """What is stored stands in the way. `ids` names the memories concerned."""

    def __init__(self, message: str, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class VersionConflict(Conflict):
    """The memory changed since the caller read it."""


class UndoRefused(Conflict):
    """A change cannot be undone as things stand; nothing was written."""


class ConfigError(McpMemoryError):
    """A setting is unknown or has a value that cannot be used."""


class EmbeddingError(McpMemoryError):
    """No usable vectors came from the embedder; searches go on without them."""


class ModelError(McpMemoryError):
    """No usable reply came from the chat model; nothing was applied."""


class StoreError(McpMemoryError):
    """The store at `path` cannot do its work."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class StoreBusy(StoreError):
    """The write lock was not free before the deadline."""


class StoreFull(StoreError):
    """The file cannot grow: the device has no space left, or a quota or limit allows no more."""


class StoreUnavailable(StoreError):
    """The file or folder cannot be opened, read or written."""


class WrongKey(StoreUnavailable):
    """The key does not open the file, or the file is damaged: the two cannot be told apart."""


class StoreCorrupt(StoreError):
    """The file is damaged or is not a database."""


class StoreUnreadable(StoreCorrupt):
    """The file is encrypted with a key that is not configured, or is no database at all."""


class StoreTooNew(StoreError):
    """The file belongs to a newer version, or to another program."""
