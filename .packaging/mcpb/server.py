"""What the host of the bundle starts: `mcp-memory serve`, with the two settings that a person can make there.

A setting that was left empty arrives as an empty text or, from some hosts, as its placeholder: ${user_config.folder}.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from mcp_memory.cli import main


def arguments(environ: Mapping[str, str]) -> list[str]:
    """The command line of `mcp-memory`."""
    options = ["serve"]
    if user := _given(environ, "BUNDLE_USER"):
        options.append(f"--user={user}")
    if folder := _given(environ, "BUNDLE_FOLDER"):
        options.append(f"--database={Path(folder) / 'memory.db'}")
    return options


def _given(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    return "" if value.startswith("${user_config.") else value


if __name__ == "__main__":
    main(arguments(os.environ))
