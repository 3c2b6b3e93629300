"""Zed: servers stand in its settings, which are JSON with comments. Sources: zed.dev/docs/ai/mcp and /instructions."""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

_KEYS: Final = (("context_servers",),)

CLIENT: Final = Client(
    name="zed",
    title="Zed",
    format="json",
    places=(
        Place(path="{xdg}/zed/settings.json", keys=_KEYS, platforms=("linux", "darwin")),
        Place(path="{appdata}/Zed/settings.json", keys=_KEYS, platforms=("win32",)),
        Place(path="{project}/.zed/settings.json", keys=_KEYS, scope="project"),
    ),
    restart="nothing: Zed starts it at once; the agent panel's settings show the server",
    instructions=(
        Text(path="{xdg}/zed/AGENTS.md", platforms=("linux", "darwin")),
        Text(path="{appdata}/Zed/AGENTS.md", platforms=("win32",)),
        Text(path="{project}/AGENTS.md", scope="project"),
    ),
)
