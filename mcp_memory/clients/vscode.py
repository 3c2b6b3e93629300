"""VS Code: a file of its own for servers; older versions kept them in the settings.

Sources: code.visualstudio.com/docs/copilot/customization/mcp-servers and /custom-instructions.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Shape, Text

_PAST: Final = (("mcp", "servers"),)
_HEAD: Final = "---\napplyTo: '**'\n---\n\n"

CLIENT: Final = Client(
    name="vscode",
    title="VS Code",
    format="json",
    places=(
        Place(path="{config}/Code/User/mcp.json", keys=(("servers",),), platforms=("linux", "darwin")),
        Place(path="{appdata}/Code/User/mcp.json", keys=(("servers",),), platforms=("win32",)),
        Place(
            path="{config}/Code/User/settings.json",
            keys=_PAST,
            platforms=("linux", "darwin"),
            past=True,
        ),
        Place(path="{appdata}/Code/User/settings.json", keys=_PAST, platforms=("win32",), past=True),
        Place(path="{project}/.vscode/mcp.json", keys=(("servers",),), scope="project"),
    ),
    restart='run "MCP: List Servers" in VS Code and start the server there',
    shape=Shape(before={"type": "stdio"}),
    instructions=(
        Text(path="{config}/Code/User/prompts/mcp-memory.instructions.md", platforms=("linux", "darwin"), head=_HEAD),
        Text(path="{appdata}/Code/User/prompts/mcp-memory.instructions.md", platforms=("win32",), head=_HEAD),
        Text(path="{project}/.github/copilot-instructions.md", scope="project"),
    ),
)
