"""The command line. No command but `serve` imports the SDK's server."""

from mcp_memory.cli.commands import main

__all__ = ["main"]
