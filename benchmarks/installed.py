"""A fresh install of this checkout with its default dependencies: how large it is, and how many packages."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
MEGABYTES: Final = 150
PACKAGES: Final = 45


def main() -> int:
    """Install into an environment that is gone afterwards; 1 if a budget is exceeded."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "environment"
        # Without pip, which is no part of what is installed: the one of this environment serves.
        venv.create(folder, with_pip=False)
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
        subprocess.run([*pip, "install", "--compile", str(ROOT)], check=True)
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        sizes = {path: path.stat().st_size / 1e6 for path in files}
        described = [path for path in files if path.match("*.dist-info/METADATA")]
        site = described[0].parents[1]
        by_folder: dict[str, float] = {}
        for path in files:
            if path.is_relative_to(site):
                name = path.relative_to(site).parts[0]
                by_folder[name] = by_folder.get(name, 0.0) + sizes[path]
    size = sum(sizes.values())
    print(f"{size:.0f} MB of {MEGABYTES}, bytecode included; {len(described)} packages of {PACKAGES}")
    for name, megabytes in sorted(by_folder.items(), key=lambda item: -item[1])[:8]:
        print(f"{megabytes:6.1f} MB  {name}")
    return int(size > MEGABYTES or len(described) > PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
