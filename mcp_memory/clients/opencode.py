"""opencode: JSON with comments, under either of two names; the folder is the same on every platform.

Sources: opencode.ai/docs/config, /mcp-servers and /rules. Version 2 keeps servers in a table of their own and still
reads those that stand where version 1 had them.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Shape, Text

_KEYS: Final = (("mcp",), ("mcp", "servers"))

CLIENT: Final = Client(
    name="opencode",
    title="opencode",
    format="json",
    places=(
        Place(path="{xdg}/opencode/opencode.json", keys=_KEYS),
        Place(path="{xdg}/opencode/opencode.jsonc", keys=_KEYS),
        Place(path="{project}/opencode.json", keys=_KEYS, scope="project"),
        Place(path="{project}/opencode.jsonc", keys=_KEYS, scope="project"),
    ),
    restart="restart opencode",
    shape=Shape(args="", env="environment", before={"type": "local"}, after={"enabled": True}),
    instructions=(Text(path="{xdg}/opencode/AGENTS.md"), Text(path="{project}/AGENTS.md", scope="project")),
)
