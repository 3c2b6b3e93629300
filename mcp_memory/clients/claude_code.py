"""Claude Code: one file for the user, with what is meant for a single folder in it, and one in the project.

Sources: code.claude.com/docs/en/mcp, /memory, /hooks and /settings. Hooks of a project stand in the file of its
settings that is not shared: their command is a path of this machine.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

CLIENT: Final = Client(
    name="claude-code",
    title="Claude Code",
    format="json",
    places=(
        Place(path="{claude}/.claude.json", keys=(("mcpServers",), ("projects", "*", "mcpServers"))),
        Place(path="{project}/.mcp.json", keys=(("mcpServers",),), scope="project"),
    ),
    restart="start a new session of Claude Code; /mcp shows the server",
    signs=("{claude}/.claude.json", "{claude_home}"),
    instructions=(
        Text(path="{claude_home}/CLAUDE.md"),
        Text(path="{project}/CLAUDE.md", scope="project"),
    ),
    hooks=(
        Place(path="{claude_home}/settings.json", keys=(("hooks",),)),
        Place(path="{project}/.claude/settings.local.json", keys=(("hooks",),), scope="project"),
    ),
)
