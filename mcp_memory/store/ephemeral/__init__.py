"""The plain store: dictionaries in this process, gone when it ends. The reference for what every verb means."""

from mcp_memory.store.ephemeral.store import EphemeralStore

__all__ = ["EphemeralStore"]
