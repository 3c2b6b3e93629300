"""Driving a real Chromium over the memory browser: served by a real process, or shown by a host as an MCP App."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

ROOT: Final = Path(__file__).parents[1]
AXE: Final = ROOT / ".cache" / "package" / "axe.min.js"
"""Where `make axe` puts it."""

DESKTOP: Final = ViewportSize(width=1280, height=800)
PHONE: Final = ViewportSize(width=390, height=844)

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PLACES: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """The browser that is installed, if there is one."""
    found = (shutil.which(name) for name in _NAMES)
    return next(filter(None, found), next((place for place in _PLACES if Path(place).exists()), None))


needs_chromium: Final = pytest.mark.skipif(
    chromium_path() is None and not os.environ.get("CI"), reason="no Chromium is installed: apt install chromium"
)
needs_axe: Final = pytest.mark.skipif(
    not AXE.exists() and not os.environ.get("CI"), reason="axe-core is not there: make axe"
)


@contextmanager
def chromium() -> Generator[Browser]:
    """A headless browser."""
    path = chromium_path()
    assert path is not None, "no Chromium is installed: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(database: Path) -> Generator[str]:
    """The address, token included, of a real `mcp-memory ui`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MCP_MEMORY_")}
    command = [sys.executable, "-m", "mcp_memory", "ui", "--no-open", "--database", str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=ROOT) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            yield found[0]
        finally:
            process.terminate()


@dataclass
class Watched:
    """A page, with all that went wrong on it and every address it asked for."""

    page: Page
    wrong: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"a dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def strangers(self, origin: str) -> list[str]:
        """What it asked of anybody but `origin`."""
        return [url for url in self.asked if not url.startswith((f"{origin}/", "data:"))]

    def texts(self, selector: str) -> list[str]:
        """The text of all that stands there, also of what is not on the screen."""
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]

    def focused(self) -> str:
        """What has the focus: its id, or its text."""
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.innerText"))

    def serious(self) -> list[str]:
        """What axe-core finds to be a serious or critical problem."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = cast("Sequence[dict[str, Any]]", self.page.evaluate("axe.run().then((found) => found.violations)"))
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            if one["impact"] in {"serious", "critical"}
            for node in one["nodes"]
        ]


def watched(context: BrowserContext) -> Watched:
    """A new page."""
    page = context.new_page()
    page.set_default_timeout(10_000)
    return Watched(page)
