"""Cline: one file for its extension and its command line; the older extension kept its own in VS Code's folder.

Sources: docs.cline.bot/getting-started/config and /customization/cline-rules, and cline/cline issues 7081 and 13596.
Rules in Documents are found by old and new versions. Servers of a project are not read.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

_KEYS: Final = (("mcpServers",),)
_STORAGE: Final = "Code/User/globalStorage/saoudrizwan.claude-dev"
_FILE: Final = "settings/cline_mcp_settings.json"

CLIENT: Final = Client(
    name="cline",
    title="Cline",
    format="json",
    places=(
        Place(path=f"{{cline}}/data/{_FILE}", keys=_KEYS),
        Place(path=f"{{config}}/{_STORAGE}/{_FILE}", keys=_KEYS, platforms=("linux", "darwin")),
        Place(path=f"{{appdata}}/{_STORAGE}/{_FILE}", keys=_KEYS, platforms=("win32",)),
    ),
    restart="nothing: Cline reads the file when it changes; its MCP Servers panel shows the server",
    signs=("{cline}", f"{{config}}/{_STORAGE}", f"{{appdata}}/{_STORAGE}"),
    instructions=(
        Text(path="{home}/Documents/Cline/Rules/mcp-memory.md"),
        Text(path="{project}/.clinerules/mcp-memory.md", scope="project"),
    ),
)
