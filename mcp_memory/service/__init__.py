"""Every use case on memories, and all policy, in terms of a store and a clock."""

from mcp_memory.service.memories import MemoryService

__all__ = ["MemoryService"]
