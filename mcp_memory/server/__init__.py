"""The Model Context Protocol door: tools and resources over `MemoryService`. The only package that imports the SDK."""

from mcp_memory.server.build import build_server

__all__ = ["build_server"]
