"""Claude Desktop. Its packaged form on Windows reads a file of its own, whatever its settings page opens.

Source: modelcontextprotocol.io/docs/develop/connect-local-servers. It has no file of instructions.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place

_KEYS: Final = (("mcpServers",),)

CLIENT: Final = Client(
    name="claude-desktop",
    title="Claude Desktop",
    format="json",
    places=(
        Place(
            path="{localappdata}/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
            keys=_KEYS,
            platforms=("win32",),
        ),
        Place(path="{config}/Claude/claude_desktop_config.json", keys=_KEYS, platforms=("linux", "darwin")),
        Place(path="{appdata}/Claude/claude_desktop_config.json", keys=_KEYS, platforms=("win32",)),
    ),
    restart="quit Claude Desktop, also in the menu bar or tray, and start it again",
)
