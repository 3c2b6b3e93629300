"""A long-term memory for MCP clients that the agent manages itself.

Start with `mcp_memory.service.MemoryService`: every use case. `server` and `cli` are doors onto it, `store` remembers.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("mcp-memory")
