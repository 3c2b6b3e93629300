"""Gemini CLI."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="gemini",
    title="Gemini CLI",
    format="json",
    places=(
        Place(path="{home}/.gemini/settings.json", keys=(("mcpServers",),)),
        Place(path="{project}/.gemini/settings.json", keys=(("mcpServers",),), scope="project"),
    ),
)
