"""Windsurf. Sources: docs.windsurf.com/windsurf/cascade/mcp and /memories; rules may have 6,000 characters."""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

CLIENT: Final = Client(
    name="windsurf",
    title="Windsurf",
    format="json",
    places=(Place(path="{home}/.codeium/windsurf/mcp_config.json", keys=(("mcpServers",),)),),
    restart="press refresh in Windsurf's MCP settings, or restart it",
    instructions=(
        Text(path="{home}/.codeium/windsurf/memories/global_rules.md"),
        Text(path="{project}/.windsurf/rules/mcp-memory.md", scope="project", head="---\ntrigger: always_on\n---\n\n"),
    ),
)
