"""The MCP clients that are known here."""

from typing import Final

from mcp_memory.clients import claude_code, claude_desktop, codex, cursor, gemini, vscode, windsurf
from mcp_memory.clients.base import Client

CLIENTS: Final[tuple[Client, ...]] = (
    claude_desktop.CLIENT,
    claude_code.CLIENT,
    cursor.CLIENT,
    vscode.CLIENT,
    windsurf.CLIENT,
    codex.CLIENT,
    gemini.CLIENT,
)
