"""The MCP clients that are known here."""

from typing import Final

from mcp_memory.clients import (
    claude_code,
    claude_desktop,
    cline,
    codex,
    copilot,
    cursor,
    gemini,
    goose,
    opencode,
    vscode,
    windsurf,
    zed,
)
from mcp_memory.clients.base import Client

CLIENTS: Final[tuple[Client, ...]] = (
    claude_desktop.CLIENT,
    claude_code.CLIENT,
    cursor.CLIENT,
    vscode.CLIENT,
    windsurf.CLIENT,
    zed.CLIENT,
    codex.CLIENT,
    gemini.CLIENT,
    copilot.CLIENT,
    cline.CLIENT,
    opencode.CLIENT,
    goose.CLIENT,
)
