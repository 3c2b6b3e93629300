"""GitHub Copilot's command line. It also reads Claude Code's file of a project, and has one of its own.

Sources: docs.github.com/en/copilot/how-tos/copilot-cli/customize-copilot, add-mcp-servers and add-custom-instructions.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Shape, Text

CLIENT: Final = Client(
    name="copilot",
    title="Copilot CLI",
    format="json",
    places=(
        Place(path="{copilot}/mcp-config.json", keys=(("mcpServers",),)),
        Place(path="{project}/.github/mcp.json", keys=(("mcpServers",),), scope="project"),
    ),
    restart="start a new session of Copilot CLI; /mcp show lists the server",
    shape=Shape(before={"type": "local"}, after={"tools": ["*"]}),
    instructions=(
        Text(path="{copilot}/copilot-instructions.md"),
        Text(path="{project}/.github/copilot-instructions.md", scope="project"),
    ),
)
