"""Claude Code: one file for the user, with what is meant for a single folder in it, and one in the project."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="claude-code",
    title="Claude Code",
    format="json",
    places=(
        Place(path="{claude}/.claude.json", keys=(("mcpServers",), ("projects", "*", "mcpServers"))),
        Place(path="{project}/.mcp.json", keys=(("mcpServers",),), scope="project"),
    ),
)
