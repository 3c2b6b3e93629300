"""Codex: TOML, for the user and in the project."""

from typing import Final

from mcp_memory.clients.base import Client, Place

CLIENT: Final = Client(
    name="codex",
    title="Codex",
    format="toml",
    places=(
        Place(path="{codex}/config.toml", keys=(("mcp_servers",),)),
        Place(path="{project}/.codex/config.toml", keys=(("mcp_servers",),), scope="project"),
    ),
)
