"""Cursor. Rules for all projects stand in its settings, which are no file; those of a project in a folder.

Sources: cursor.com/docs/context/mcp and /rules.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

CLIENT: Final = Client(
    name="cursor",
    title="Cursor",
    format="json",
    places=(
        Place(path="{home}/.cursor/mcp.json", keys=(("mcpServers",),)),
        Place(path="{project}/.cursor/mcp.json", keys=(("mcpServers",),), scope="project"),
    ),
    restart="restart Cursor; Settings → MCP shows the server",
    instructions=(
        Text(
            path="{project}/.cursor/rules/mcp-memory.mdc",
            scope="project",
            head="---\ndescription: Long-term memory\nalwaysApply: true\n---\n\n",
        ),
    ),
)
