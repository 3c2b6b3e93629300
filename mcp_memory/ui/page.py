"""The page, put together of the files in `assets`: HTML, one style sheet and one script.

It is the same text for both ways to show it, so the policy that allows it names the hashes of its style and script:
nothing else can run or draw in it, whatever is stored.
"""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

SCRIPTS: Final = ("dom", "call", "diff", "detail", "list", "views", "main")
"""In the order in which they build on each other; together they are one module."""

_STYLE: Final = "/* style.css */"
_SCRIPT: Final = "/* scripts */"


class Page(NamedTuple):
    """The whole document, and the Content-Security-Policy under which it may be shown by itself."""

    html: str
    policy: str


@cache
def page() -> Page:
    """The memory browser."""
    style = f"\n{_asset('style.css')}"
    script = "\n" + "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    html = _asset("page.html").replace(_STYLE, style).replace(_SCRIPT, script)
    directives = (
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return Page(html, "; ".join(directives))


def _asset(name: str) -> str:
    """The text of a file of the page, with the line ends that a browser makes of any."""
    return (resources.files("mcp_memory.ui") / "assets" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
