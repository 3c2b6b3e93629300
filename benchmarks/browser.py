"""The memory browser in a real Chromium over many memories: how quickly it is there and answers, and how it looks.

python -m benchmarks.browser --count 5000 --pictures DIR
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

import anyio
from playwright.sync_api import Page, ViewportSize

from benchmarks.common import record
from benchmarks.person import settle
from mcp_memory.app import open_store
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from tests.browsing import DESKTOP, PHONE, chromium, served, watched

TYPED: Final = ("trip to kyoto", "oat milk", "piranesi", "replace sqlite", "grandparents")
ROUNDS: Final = 5

_TYPING: Final = """async (letter) => {
    const query = document.getElementById('query');
    const shown = new Promise((resolve) => {
        const observer = new MutationObserver(() => { observer.disconnect(); requestAnimationFrame(resolve); });
        observer.observe(document.getElementById('count'), { childList: true });
    });
    const begun = performance.now();
    query.value += letter;
    query.dispatchEvent(new Event('input', { bubbles: true }));
    await shown;
    return performance.now() - begun;
}"""
"""From a letter typed to the frame that shows its results, in milliseconds."""

_PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_LISTED: Final = """new Promise((resolve) => {
    const look = () => document.querySelector('.row') ? resolve(performance.now()) : requestAnimationFrame(look);
    look();
})"""


def main() -> None:
    """Print the figures; take the pictures where a folder is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "memory.db"
        anyio.run(_settled, database, given.count)
        with served(database) as address, chromium() as browser:
            context = browser.new_context(viewport=DESKTOP, locale="en-GB", device_scale_factor=1)
            page = watched(context).page
            page.goto(address)
            page.wait_for_selector(".row")
            figures = {"memories": given.count, **_measured(page)}
            if given.pictures:
                given.pictures.mkdir(parents=True, exist_ok=True)
                _pictures(page, given.pictures)
    for name, value in figures.items():
        print(f"{name:40} {value:>8,.0f}")
    if given.record:
        record(given.record, "browser", figures)


async def _settled(database: Path, count: int) -> None:
    clock = SystemClock()
    async with open_store(Config(database=str(database)), clock) as store:
        await settle(store, "default", count, clock.now())


def _measured(page: Page) -> dict[str, float]:
    painted: list[float] = []
    listed: list[float] = []
    for _ in range(ROUNDS):
        page.reload()
        listed.append(page.evaluate(_LISTED))
        painted.append(page.evaluate(_PAINTED))
    typed: list[float] = []
    for text in TYPED:
        page.locator("#query").fill("")
        page.wait_for_timeout(200)
        typed += [page.evaluate(_TYPING, letter) for letter in text]
    return {
        "first contentful paint, ms, median": statistics.median(painted),
        "first contentful paint, ms, worst": max(painted),
        "memories listed after, ms, median": statistics.median(listed),
        "typing to results, ms, median": statistics.median(typed),
        "typing to results, ms, 95 %": statistics.quantiles(typed, n=20)[-1],
        "typing to results, ms, worst": max(typed),
    }


def _pictures(page: Page, folder: Path) -> None:
    sizes: dict[str, ViewportSize] = {"desktop": DESKTOP, "phone": PHONE}
    for scheme in ("light", "dark"):
        for size, viewport in sizes.items():
            page.set_viewport_size(viewport)
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.reload()
            page.wait_for_selector(".row")
            _views(page, f"{folder}/{size}-{scheme}")


def _views(page: Page, name: str) -> None:
    def taken(view: str, **options: Any) -> None:  # noqa: ANN401 - the driver's own
        page.wait_for_timeout(250)
        page.screenshot(path=f"{name}-{view}.png", **options)

    taken("memories")
    page.locator('[data-view="timeline"]').click()
    page.wait_for_selector(".change")
    taken("timeline")
    corrected = page.locator(".row", has=page.locator("ins")).first
    corrected.click()
    taken("history")
    page.keyboard.press("e")
    taken("edit")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator('[data-view="topics"]').click()
    taken("topics")
    page.locator('[data-view="deleted"]').click()
    page.wait_for_selector(".gone")
    taken("deleted")
    page.locator("#query").fill("vegetarian food allergies")
    page.wait_for_timeout(300)
    page.locator(".row").first.click()
    taken("search")


if __name__ == "__main__":
    main()
