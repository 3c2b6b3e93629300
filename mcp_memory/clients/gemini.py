"""Gemini CLI. Sources: its repository's docs/tools/mcp-server.md and docs/cli/gemini-md.md."""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

CLIENT: Final = Client(
    name="gemini",
    title="Gemini CLI",
    format="json",
    places=(
        Place(path="{home}/.gemini/settings.json", keys=(("mcpServers",),)),
        Place(path="{project}/.gemini/settings.json", keys=(("mcpServers",),), scope="project"),
    ),
    restart="start a new session of Gemini CLI; /mcp shows the server",
    instructions=(Text(path="{home}/.gemini/GEMINI.md"), Text(path="{project}/GEMINI.md", scope="project")),
)
