"""Codex: TOML, for the user and in the project. Sources: developers.openai.com/codex/mcp and /guides/agents-md."""

from typing import Final

from mcp_memory.clients.base import Client, Place, Text

CLIENT: Final = Client(
    name="codex",
    title="Codex",
    format="toml",
    places=(
        Place(path="{codex}/config.toml", keys=(("mcp_servers",),)),
        Place(path="{project}/.codex/config.toml", keys=(("mcp_servers",),), scope="project"),
    ),
    restart="start a new session of Codex",
    instructions=(Text(path="{codex}/AGENTS.md"), Text(path="{project}/AGENTS.md", scope="project")),
)
