"""Memories in one SQLite file, shared by any number of processes on one machine."""

from mcp_memory.store.sqlite.glance import open_glance
from mcp_memory.store.sqlite.rewriting import rewrite
from mcp_memory.store.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_glance", "open_store", "rewrite"]
