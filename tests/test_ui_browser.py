"""The memory browser in a real Chromium, over 5,000 memories and over texts that mean harm."""

from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal, NamedTuple

import anyio
import pytest
from playwright.sync_api import Browser, expect

from benchmarks.person import settle
from mcp_memory.app import open_store
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from tests.browsing import DESKTOP, PHONE, Watched, chromium, needs_axe, needs_chromium, served, watched

pytestmark = needs_chromium

COUNT = 5_000
ASK = """async ([tool, args]) => {
    const authorization = `Bearer ${sessionStorage.getItem('mcp-memory-session')}`;
    const headers = { 'content-type': 'application/json', authorization };
    await fetch('call', { method: 'POST', headers, body: JSON.stringify({ tool, arguments: args }) });
}"""
"""What the page itself does, without the page knowing."""

FORGE = """async (origin) => {
    const body = JSON.stringify({ tool: 'add_memory', arguments: { content: 'Forged' } });
    const sent = ['text/plain', 'application/json'].map((type) =>
        fetch(`${origin}/call`, { method: 'POST', headers: { 'content-type': type }, body })
            .then((reply) => reply.text(), () => 'refused'));
    return Promise.all(sent);
}"""
HOSTILE = (
    "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'>",
    "javascript:alert(1) &lt;b&gt; ${1} {{1}} </textarea><b id=bold>",
    "w" * 300,
    "قهوة abc مع السكر",
    "喜欢在周末去山里徒步 👩‍👩‍👧",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 memories."""
    file = tmp_path_factory.mktemp("large") / "memory.db"
    anyio.run(_settled, str(file))
    return file


@pytest.fixture(scope="module")
def browser(database: Path) -> Generator[Browser]:
    """One for all tests. It comes after `database`: while it is there, this thread's event loop is the driver's."""
    del database
    with chromium() as browser:
        yield browser


class Opened(NamedTuple):
    """The page on a store of its own."""

    seen: Watched
    origin: str


async def _settled(database: str) -> None:
    clock = SystemClock()
    async with open_store(Config(database=database), clock) as store:
        await settle(store, "default", COUNT, clock.now())


@pytest.fixture(scope="module")
def large(browser: Browser, database: Path) -> Generator[Opened]:
    """5,000 memories, on one page for all tests: its address works once."""
    with served(database) as address:
        yield from _opened(browser, address)


@pytest.fixture
def empty(browser: Browser, tmp_path: Path) -> Generator[Opened]:
    """No memory yet."""
    database = tmp_path / "memory.db"
    database.touch(0o600)
    with served(database) as address:
        yield from _opened(browser, address)


def _opened(browser: Browser, address: str) -> Generator[Opened]:
    context = browser.new_context(viewport=DESKTOP, locale="en-GB")
    seen = watched(context)
    seen.page.goto(address)
    expect(seen.page.locator("#tabs button").first).to_be_visible()
    yield Opened(seen, address.split("/#", maxsplit=1)[0])
    context.close()


@pytest.fixture
def page(large: Opened) -> Generator[Watched]:
    """The page over 5,000 memories as it begins; afterwards nothing went wrong, and nobody else was asked."""
    seen, origin = large
    seen.page.set_viewport_size(DESKTOP)
    seen.page.reload()
    expect(seen.page.locator(".row").first).to_be_visible()
    yield seen
    assert seen.wrong == []
    assert seen.strangers(origin) == []


def test_the_address_gives_nothing_away_once_it_is_used(large: Opened, browser: Browser) -> None:
    seen, origin = large
    assert seen.page.url == f"{origin}/"
    context = browser.new_context()
    another = watched(context)
    another.page.goto(origin)
    expect(another.page.locator("#notice")).to_contain_text("works once")
    assert another.page.locator(".row").count() == 0
    context.close()


def test_searching_as_one_types_and_filtering_among_5000(page: Watched) -> None:
    expect(page.page.locator("#count")).to_have_text("5,000 memories")
    page.page.keyboard.press("/")
    page.page.keyboard.type("trip to kyoto")
    expect(page.page.locator(".row").first).to_contain_text("Kyoto")
    expect(page.page.locator("#count")).to_contain_text("best first")
    assert {"trip", "Kyoto"} <= set(page.texts(".row mark"))
    page.page.keyboard.press("Escape")
    expect(page.page.locator("#count")).to_have_text("5,000 memories")
    page.page.get_by_label("Topic", exact=True).select_option("books")
    expect(page.page.locator("#count")).to_contain_text("of 5,000")
    expect(page.page.locator(".row .text", has_not_text="Finished")).to_have_count(0)
    page.page.get_by_label("Agent", exact=True).select_option("planner")
    expect(page.page.locator(".row .when", has_not_text="planner")).to_have_count(0)
    page.page.get_by_label("to", exact=True).fill("2025-01-31")
    expect(page.page.locator(".group h2").first).not_to_contain_text("2026")
    page.page.get_by_role("button", name="Clear").click()
    expect(page.page.locator("#count")).to_have_text("5,000 memories")


def test_all_of_the_list_is_reached_page_by_page(page: Watched) -> None:
    for reached in (101, 201, 301):
        page.page.locator(".row").last.scroll_into_view_if_needed()
        expect(page.page.locator(".row").nth(reached)).to_be_attached()
    texts = page.page.evaluate("Array.from(document.querySelectorAll('.row'), (row) => row.dataset.id)")
    assert len(texts) == len(set(texts))


def test_a_memory_is_edited_in_place_its_history_shows_what_changed_and_undo_takes_it_back(page: Watched) -> None:
    row = page.page.locator(".row", has_text="Finished").first
    former = row.locator(".text").inner_text()
    row.click()
    page.page.get_by_role("button", name="Edit").click()
    page.page.get_by_label("Text", exact=True).fill(f"{former} soon")
    page.page.get_by_label("Topics", exact=True).last.fill("books, reading")
    page.page.get_by_label("Key", exact=True).fill("last_book")
    page.page.get_by_label("Pinned").check()
    page.page.get_by_role("button", name="Save").click()
    expect(page.page.locator("#bar-text")).to_have_text("Saved.")
    expect(page.page.locator(".row[aria-current]")).to_contain_text("soon")
    detail = page.page.locator("#detail")
    expect(detail.locator(".history ins").first).to_have_text(" soon")
    assert {"pinned", "last_book", "books", "reading"} <= set(page.texts("#detail .badge"))
    expect(detail.locator(".history .fields").first).to_contain_text("books, reading")
    page.page.locator("#bar-undo").click()
    expect(detail.locator(".text.large")).to_have_text(former)
    expect(detail.locator(".history li strong").first).to_have_text("restored")
    page.page.locator("#bar-undo").click()
    expect(detail.locator(".text.large")).to_have_text(f"{former} soon")


def test_what_another_wrote_meanwhile_is_not_overwritten(page: Watched) -> None:
    page.page.locator(".row").nth(3).click()
    page.page.get_by_role("button", name="Edit").click()
    title = page.page.locator("#detail").get_attribute("aria-label") or ""
    page.page.evaluate(ASK, ["update_memory", {"id": title.removeprefix("Memory "), "topics": ["other"]}])
    page.page.get_by_label("Text", exact=True).fill("Mine")
    page.page.get_by_role("button", name="Save").click()
    expect(page.page.locator(".wrong")).to_contain_text("is at version")
    assert page.page.get_by_label("Text", exact=True).input_value() == "Mine"


def test_keys_alone_find_read_edit_delete_and_take_back(page: Watched) -> None:
    keys = page.page.keyboard
    keys.press("/")
    keys.type("bouldering")
    expect(page.page.locator(".row").first).to_contain_text("bouldering")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    second = page.focused()
    assert "bouldering" in second
    keys.press("Enter")
    expect(page.page.locator("#detail .text.large")).to_have_text(second.split("\n")[0])
    keys.press("e")
    expect(page.page.locator("#content")).to_be_focused()
    keys.press("End")
    keys.type("!")
    keys.press("Control+Enter")
    expect(page.page.locator("#detail .text.large")).to_contain_text("!")
    expect(page.page.locator(".row[aria-current]")).to_be_focused()
    gone = page.page.locator(".row[aria-current]").get_attribute("data-id")
    keys.press("Delete")
    expect(page.page.locator(f'.row[data-id="{gone}"]')).to_have_count(0)
    expect(page.page.locator("#detail")).to_be_hidden()
    assert "bouldering" in page.focused()
    keys.press("u")
    expect(page.page.locator(f'.row[data-id="{gone}"]')).to_have_count(1)
    keys.press("n")
    expect(page.page.locator("#content")).to_be_focused()
    keys.press("Escape")
    expect(page.page.locator("#detail")).to_be_hidden()
    keys.press("Escape")
    expect(page.page.locator("#query")).to_have_value("")


def test_the_timeline_topics_and_deleted_ones_are_views_of_the_same(page: Watched) -> None:
    page.page.locator('[data-view="timeline"]').click()
    bars = page.page.locator(".chart button")
    labels = [bar.get_attribute("aria-label") or "" for bar in bars.all()]
    assert sum(int(label.split(": ")[1].split()[0]) for label in labels) >= COUNT
    assert 32 <= len(labels) <= 35
    newest = page.page.locator("#changes h3").first.inner_text()
    bars.nth(10).click()
    month = labels[10].split(":")[0]
    expect(page.page.locator("#changes-count")).to_contain_text(f"Up to {month}")
    expect(page.page.locator("#changes h3").first).to_contain_text(month)
    page.page.get_by_role("button", name="Show the latest").click()
    expect(page.page.locator("#changes h3").first).to_have_text(newest)
    page.page.locator('[data-view="topics"]').click()
    assert page.texts(".topic .name")[0] == "travel"
    page.page.locator(".topic", has_text="sport").click()
    expect(page.page.locator(".chip")).to_contain_text("sport")
    expect(page.page.locator(".row").first).to_contain_text("sport")
    page.page.locator('[data-view="deleted"]').click()
    item = page.page.locator(".gone").first
    expect(item.locator(".text")).not_to_be_empty()
    text = item.locator(".text").inner_text()
    item.get_by_role("button", name="Bring back").click()
    expect(page.page.locator("#detail .text.large")).to_have_text(text)
    expect(page.page.locator(".gone .text", has_text=text)).to_have_count(0)
    page.page.locator("#bar-undo").click()
    expect(page.page.locator("#detail .callout")).to_contain_text("This memory is deleted.")


@needs_axe
@pytest.mark.parametrize(
    ("scheme", "views"), [("light", ("timeline", "topics", "deleted")), ("dark", ("timeline",))], ids=["light", "dark"]
)
def test_axe_finds_nothing_serious_in_any_view(
    page: Watched, scheme: Literal["light", "dark"], views: tuple[str, ...]
) -> None:
    page.page.emulate_media(color_scheme=scheme)
    page.page.get_by_label("Topic", exact=True).select_option("preferences")
    expect(page.page.locator(".row")).to_have_count(1)
    found = page.serious()
    page.page.set_viewport_size(PHONE)
    page.page.locator(".row").click()
    found += page.serious()
    page.page.get_by_role("button", name="Edit").click()
    found += page.serious()
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Escape")
    for name in views:
        page.page.locator(f'[data-view="{name}"]').click()
        expect(page.page.locator(".view:not([hidden]) li").first).to_be_visible()
        found += page.serious()
    assert found == []


def test_a_phone_shows_a_memory_over_the_list_and_gives_the_focus_back(page: Watched) -> None:
    page.page.set_viewport_size(PHONE)
    row = page.page.locator(".row").nth(2)
    row.click()
    expect(page.page.locator("#detail")).to_be_focused()
    assert page.page.evaluate("document.getElementById('main').inert")
    box = page.page.locator("#detail").bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (PHONE["width"], PHONE["height"])
    page.page.get_by_role("button", name="Close").click()
    expect(row).to_be_focused()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.promise("P9")
def test_texts_that_mean_harm_are_shown_as_the_texts_they_are(empty: Opened) -> None:
    seen, origin = empty
    page = seen.page
    expect(page.locator("#count")).to_have_text("Nothing is remembered yet.")
    for text in HOSTILE:
        page.keyboard.press("n")
        page.get_by_label("Text", exact=True).fill(text)
        page.get_by_label("Topics", exact=True).last.fill("<b>bold</b>")
        page.get_by_role("button", name="Add memory").last.click()
        expect(page.locator("#detail .text.large")).to_have_text(text)
    assert seen.texts("#list .text")[::-1] == list(HOSTILE)
    assert seen.texts(".row .badge")[0] == "<b>bold</b>"
    page.set_viewport_size(PHONE)
    page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    rtl = page.locator("#list .text", has_text="قهوة")
    assert rtl.evaluate("(text) => getComputedStyle(text).direction") == "rtl"
    page.locator('[data-view="topics"]').click()
    assert page.evaluate("[window.harmed, document.getElementById('bold')]") == [None, None]
    assert seen.wrong == []
    assert seen.strangers(origin) == []


class _Stranger(BaseHTTPRequestHandler):
    """Another server's page on this machine, which a browser lets go further than one from elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href='data:,'><iframe></iframe>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        del format, args


@pytest.fixture
def stranger() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_another_page_can_neither_frame_it_nor_ask_in_its_place(large: Opened, browser: Browser, stranger: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(stranger)
    with page.expect_response(f"{large.origin}/") as framed:
        page.evaluate("(origin) => { document.querySelector('iframe').src = origin; }", large.origin)
    assert framed.value.status == 403
    assert framed.value.headers["x-frame-options"] == "DENY"
    assert page.evaluate(FORGE, large.origin) == ["refused", "refused"]
    context.close()


def test_the_page_says_when_its_server_has_ended(browser: Browser, tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    database.touch(0o600)
    with served(database) as address:
        opening = _opened(browser, address)
        seen = next(opening).seen
    seen.page.keyboard.press("/")
    seen.page.keyboard.type("tea")
    expect(seen.page.locator("#notice")).to_contain_text("mcp-memory ui has ended")
    opening.close()
