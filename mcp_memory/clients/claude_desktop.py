"""Claude Desktop. Its packaged form on Windows reads a file of its own, whatever its settings page opens."""

from typing import Final

from mcp_memory.clients.base import Client, Place

_KEYS: Final = (("mcpServers",),)

CLIENT: Final = Client(
    name="claude-desktop",
    title="Claude Desktop",
    format="json",
    places=(
        Place(path="{config}/Claude/claude_desktop_config.json", keys=_KEYS, platforms=("linux", "darwin")),
        Place(path="{appdata}/Claude/claude_desktop_config.json", keys=_KEYS, platforms=("win32",)),
        Place(
            path="{localappdata}/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
            keys=_KEYS,
            platforms=("win32",),
        ),
    ),
)
