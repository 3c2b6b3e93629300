"""goose: YAML, for the user only. It has an extension of its own that is called memory.

Sources: block.github.io/goose/docs/guides/config-files and /using-goosehints.
"""

from typing import Final

from mcp_memory.clients.base import Client, Place, Shape, Text

_KEYS: Final = (("extensions",),)
_BLOCK: Final = "{appdata}/Block/goose/config"

CLIENT: Final = Client(
    name="goose",
    title="goose",
    format="yaml",
    places=(
        Place(path="{xdg}/goose/config.yaml", keys=_KEYS, platforms=("linux", "darwin")),
        Place(path=f"{_BLOCK}/config.yaml", keys=_KEYS, platforms=("win32",)),
    ),
    restart="start a new session of goose",
    shape=Shape(
        command="cmd",
        env="envs",
        before={"enabled": True, "type": "stdio", "name": "{name}", "description": "Long-term memory"},
        after={"envs": {}, "env_keys": [], "timeout": 300},
    ),
    names=("mcp-memory",),
    instructions=(
        Text(path="{xdg}/goose/.goosehints", platforms=("linux", "darwin")),
        Text(path=f"{_BLOCK}/.goosehints", platforms=("win32",)),
        Text(path="{project}/.goosehints", scope="project"),
    ),
)
