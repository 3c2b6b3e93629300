"""The Model Context Protocol door: tools and resources over `MemoryService`.

Only this package imports the SDK, and the demo, which is a client.
"""

from mcp_memory.server.build import build_server

__all__ = ["build_server"]
