"""Cursor."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="cursor",
    title="Cursor",
    format="json",
    places=(
        Place(path="{home}/.cursor/mcp.json", keys=(("mcpServers",),)),
        Place(path="{project}/.cursor/mcp.json", keys=(("mcpServers",),), scope="project"),
    ),
)
