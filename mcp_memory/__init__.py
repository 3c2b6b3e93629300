"""A long-term memory for MCP clients that the agent manages itself.

Start with `mcp_memory.service.MemoryService`: every use case. `server` and `cli` are doors onto it, `store` remembers.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
