"""How this program is started."""

import sys
from pathlib import Path
from typing import Final

_NAME: Final = "mcp-memory"


def own_command() -> list[str]:
    """What starts this program from anywhere: the script that runs, else this Python and the module."""
    called = Path(sys.argv[0])
    for one in (called, called.with_name(f"{called.name}.exe")):
        if one.name.removesuffix(".exe") == _NAME and one.is_file():
            return [str(one.absolute())]
    return [sys.executable, "-m", "mcp_memory"]
