"""A long-term memory for MCP clients that the agent manages itself.

Start with `mcp_memory.service.MemoryService`: every use case. `server` and `cli` are doors onto it, `store` remembers.
"""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """The version, looked up when somebody asks for it: that takes longer than printing a help."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - as large as all that a help needs

    return version("mcp-memory")
