"""Windsurf."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="windsurf",
    title="Windsurf",
    format="json",
    places=(Place(path="{home}/.codeium/windsurf/mcp_config.json", keys=(("mcpServers",),)),),
)
