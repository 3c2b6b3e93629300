"""VS Code: a file of its own for servers; older versions kept them in the settings."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="vscode",
    title="VS Code",
    format="json",
    places=(
        Place(path="{config}/Code/User/mcp.json", keys=(("servers",),), platforms=("linux", "darwin")),
        Place(path="{appdata}/Code/User/mcp.json", keys=(("servers",),), platforms=("win32",)),
        Place(path="{config}/Code/User/settings.json", keys=(("mcp", "servers"),), platforms=("linux", "darwin")),
        Place(path="{appdata}/Code/User/settings.json", keys=(("mcp", "servers"),), platforms=("win32",)),
        Place(path="{project}/.vscode/mcp.json", keys=(("servers",),), scope="project"),
    ),
)
