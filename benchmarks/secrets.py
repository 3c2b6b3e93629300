"""What is taken for a secret, of what is one and of what is none: `python -m benchmarks.secrets [--show]`.

Our patterns and, where it is installed, `detect-secrets`, on the labelled set of the tests; and what each costs.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

from benchmarks.common import ROOT
from mcp_memory.text import clean, secrets

SET: Final = ROOT / "tests" / "secrets_set.jsonl"
PARTS: Final = ("develop", "held out", "fresh")
ENTROPY: Final = ("Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector")
"""Its detectors that take every random run of characters, or every address, for a secret."""

Detector = Callable[[str], bool]

_COST: Final = """
import sys, time, resource

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

import mcp_memory.text
for name in ("credentials", "assigned", "vendors"):
    del sys.modules[f"mcp_memory.text.{name}"]
before, size, began = set(sys.modules), used(), time.perf_counter()
exec(sys.argv[1])
took = time.perf_counter() - began
began = time.perf_counter()
exec(sys.argv[2])
first = time.perf_counter() - began
print(took * 1e3, len(set(sys.modules) - before), used() - size, first * 1e3)
"""
_OURS: Final = ("from mcp_memory.text.credentials import secrets", "secrets('password=hunter2x AKIA')")
_THEIRS: Final = (
    "from detect_secrets.core.scan import scan_line\nfrom detect_secrets.settings import default_settings",
    "with default_settings(): list(scan_line('password = \"hunter2x\" AKIA'))",
)


class Labelled(NamedTuple):
    """One text; `kind` is None where it holds no secret."""

    part: str
    kind: str | None
    text: str


class Row(NamedTuple):
    """How a detector did on one part."""

    positives: int
    negatives: int
    found: int
    alarms: int

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.alarms)


def labelled(file: Path = SET) -> list[Labelled]:
    """The set. Texts are stored in pieces, so that no file holds a string in a vendor's exact form."""
    rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    return [Labelled(row["part"], row.get("kind"), clean("".join(row["text"]))) for row in rows]


def ours(text: str) -> bool:
    return bool(secrets(text))


def judged(detector: Detector, texts: Sequence[Labelled]) -> Row:
    """What `detector` says of `texts`."""
    hits = [detector(one.text) for one in texts]
    found = sum(hit and one.kind is not None for hit, one in zip(hits, texts, strict=True))
    positives = sum(one.kind is not None for one in texts)
    return Row(positives, len(texts) - positives, found, sum(hits) - found)


def detectors(stack: ExitStack) -> Iterator[tuple[str, Detector]]:
    """Ours, then detect-secrets on a file, as it is meant to be used, on each line, and without what goes by chance."""
    yield "own patterns", ours
    if find_spec("detect_secrets") is None:
        return
    scan: Any = importlib.import_module("detect_secrets.core.scan")
    configuration: Any = importlib.import_module("detect_secrets.settings")
    file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "text.txt"

    def of_file(text: str) -> bool:
        file.write_text(text, encoding="utf-8")
        return any(True for _ in scan.scan_file(str(file)))

    def theirs(text: str) -> bool:
        return any(True for line in text.split("\n") for _ in scan.scan_line(line))

    settings = stack.enter_context(configuration.default_settings())
    yield "detect-secrets", of_file
    yield "  by line", theirs
    settings.disable_plugins(*ENTROPY)
    yield "  no entropy", theirs


def microseconds(detector: Detector, texts: Iterable[str]) -> float:
    """The median time that a text takes."""
    taken: list[float] = []
    for text in texts:
        began = perf_counter()
        detector(text)
        taken.append(perf_counter() - began)
    return median(taken) * 1e6


def cost(load: str, first: str) -> list[float]:
    """Milliseconds and modules of the import, MB that the process grows (Linux), milliseconds of the first text.

    Medians of 9 runs after one that compiles the modules.
    """
    with tempfile.TemporaryDirectory() as folder:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = folder
        run = partial(subprocess.run, capture_output=True, text=True, check=True, cwd=ROOT, env=environ)
        told = [run([sys.executable, "-c", _COST, load, first]).stdout for _ in range(10)]
    return [median(column) for column in zip(*(map(float, one.split()) for one in told[1:]), strict=True)]


def show(texts: Sequence[Labelled]) -> None:
    for one in texts:
        if ours(one.text) != (one.kind is not None):
            print(f"{'missed' if one.kind else 'false alarm':<12}{one.part:<10}{one.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="print what our patterns miss, and their false alarms")
    arguments = parser.parse_args()
    texts = labelled()
    if arguments.show:
        show(texts)
        return
    print(f"{'':<15}{'part':<10}{'precision':>10}{'recall':>18}{'false alarms':>17}{'median':>10}")
    with ExitStack() as stack:
        for name, detector in detectors(stack):
            for part in (*PARTS, "all"):
                some = [one for one in texts if part in {one.part, "all"}]
                row = judged(detector, some)
                recall = f"{row.found / row.positives:.3f} ({row.found}/{row.positives})"
                alarms = f"{row.alarms / row.negatives:.3f} ({row.alarms}/{row.negatives})"
                time = microseconds(detector, [one.text for one in some])
                print(f"{name:<15}{part:<10}{row.precision:>10.3f}{recall:>18}{alarms:>17}{time:>7.0f} µs")
    print(f"\n{'':<15}{'import':>10}{'modules':>10}{'memory':>10}{'first text':>12}")
    compared = [("own patterns", _OURS), *([("detect-secrets", _THEIRS)] if find_spec("detect_secrets") else [])]
    for name, code in compared:
        took, modules, grown, first = cost(*code)
        print(f"{name:<15}{took:>7.1f} ms{modules:>10.0f}{grown:>7.1f} MB{first:>9.1f} ms")


if __name__ == "__main__":
    main()
