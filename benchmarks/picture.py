"""Draws what the command line prints, as the README shows it: `python -m benchmarks.picture FILE.svg`."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH: Final = 84
PREPARED: Final = (
    'add "Vegetarian, but eats fish" --topic food --pin',
    'add "Sister works in 東京 and visits in spring 🌸" --topic family --topic travel',
    'add "Reviews must name the file and the line" --topic work --key review_style',
    'add "Lives in Lisbon" --topic home --key home_city',
)
SHOWN: Final = ('add "Moved to Porto in May" --key home_city', "list", 'search "when does my sister visit"')


def main() -> None:
    [target] = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=StringIO())
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {
            "FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
            "MCP_MEMORY_DATABASE": str(Path(folder) / "memory.db"),
            "XDG_CONFIG_HOME": folder,
        }
        for line in (*PREPARED, *SHOWN):
            command = [sys.executable, "-m", "mcp_memory", *shlex.split(line)]
            done = subprocess.run(command, env=environ, check=True, capture_output=True, encoding="utf-8")
            if line in SHOWN:
                console.print(Text("$ ", style="bold green").append(f"mcp-memory {line}", style="default"))
                console.print(Text.from_ansi(done.stdout))
    drawn = console.export_svg(title="mcp-memory", theme=MONOKAI)
    # The viewer's own font: a picture in a README must not load anything.
    drawn = re.sub(r"\s*<!--.*?-->", "", drawn)
    drawn = re.sub(r"\s*@font-face \{.*?\}\n", "\n", drawn, flags=re.DOTALL).replace("Fira Code, ", "")
    Path(target).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
