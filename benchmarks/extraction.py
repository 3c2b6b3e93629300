"""What a chat model makes of labelled conversations, so that one can be chosen: `python -m benchmarks.extraction`.

Needs a configured endpoint: [llm] model and base_url, from the configuration file or as MCP_MEMORY_LLM_MODEL and so on.
The conversations of the sets are sent to it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.common import EVAL, read_set, record
from benchmarks.dialogues import LOCOMO, OWN, Dialogue, DialogueSet, joined, read_dialogues, sittings
from benchmarks.facts import Verdict, judged, pooled
from mcp_memory import prompts
from mcp_memory.app import App, open_app
from mcp_memory.config import Config, load
from mcp_memory.errors import ConfigError, ModelError
from mcp_memory.extraction.conversation import Message, read
from mcp_memory.extraction.extractor import PROMPT, Extractor
from mcp_memory.llm.base import ChatMessage, ChatModel, Completion
from mcp_memory.models import Origin
from mcp_memory.service import MemoryService
from mcp_memory.text.tokens import estimate

GIVE_UP: Final = 3
"""When so many sittings fail before one succeeds, the settings are wrong and not the model."""

_NAME: Final = 24
_SHARE: Final = 18
_COUNT: Final = 12
_PAGE: Final = 100


class CountingModel:
    """A chat model that counts what it is asked. Tokens that the endpoint does not tell are estimated.

    A call that fails counts; its tokens do not, since nobody tells them.
    """

    def __init__(self, inner: ChatModel) -> None:
        self.name = inner.name
        self.calls = 0
        self.tokens_in = 0
        self.tokens_out = 0
        self.estimated = 0
        """Replies of which a number of tokens is an estimate."""
        self._inner = inner

    async def complete(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any]) -> Completion:
        """The reply of the model inside."""
        self.calls += 1
        reply = await self._inner.complete(messages, schema)
        told = (reply.prompt_tokens, reply.completion_tokens)
        self.tokens_in += sum(estimate(one.content) for one in messages) if told[0] is None else told[0]
        self.tokens_out += estimate(reply.text) if told[1] is None else told[1]
        self.estimated += None in told
        return reply

    async def aclose(self) -> None:
        """Close the model inside."""
        await self._inner.aclose()


@dataclass
class Measured:
    """One run of a set: a verdict by conversation, and what it took."""

    model: CountingModel
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    messages: int = 0
    """Of the users; what is empty without its recalled memories is left out."""
    sittings: int = 0
    seconds: float = 0
    failed: list[str] = field(default_factory=list[str])
    """What the model said, or did not, in the sittings that changed nothing."""

    def each(self, total: float) -> float:
        """`total` per message of a user."""
        return total / max(1, self.messages)


async def measure(config: Config, one: DialogueSet, every: int | None = None) -> Measured:
    """Have the model of `config` read every conversation, each as a user of its own, and judge what it remembered.

    Raises:
        ModelError: no model is configured, or the first `GIVE_UP` sittings failed.
    """
    async with open_app(config) as app:
        extractor = await app.extractor()
        if extractor.model is None:
            raise ModelError("no model is configured; set [llm] model")
        extractor.model = model = CountingModel(extractor.model)
        run = Measured(model)
        for talk in one.conversations:
            print(f"{one.name}: {talk.id}", file=sys.stderr)
            run.verdicts[talk.id] = await _one(app, extractor, run, talk, every)
        return run


async def _one(app: App, extractor: Extractor, run: Measured, talk: Dialogue, every: int | None) -> Verdict:
    messages = read(talk.messages, app.now(), app.zone) if talk.messages else ()
    for part in sittings(messages, every):
        await _hand_over(extractor, run, talk.id, part)
    said = [message.content for message in messages if message.role == "user"]
    run.messages += len(said)
    names = {message.name for message in messages if message.name}
    return judged(talk.facts, said, await _remembered(await app.service(), talk.id), names)


async def _hand_over(extractor: Extractor, run: Measured, user: str, messages: Sequence[Message]) -> None:
    run.sittings += 1
    begun = perf_counter()
    try:
        await extractor.by_model(user, messages, Origin(tool="benchmark"), _tell)
    except ModelError as error:
        run.failed.append(f"{user}: {error}")
        if len(run.failed) == run.sittings == GIVE_UP:
            raise
    run.seconds += perf_counter() - begun


async def _tell(done: int, chunks: int) -> None:
    """The extractor wants to tell somebody; conversations are steps enough."""


async def _remembered(service: MemoryService, user: str) -> list[str]:
    """All that is current."""
    contents: list[str] = []
    cursor = None
    while True:
        page = await service.page(user, limit=_PAGE, cursor=cursor)
        contents += [memory.content for memory in page.memories]
        cursor = page.next_cursor
        if cursor is None:
            return contents


def table(run: Measured) -> list[str]:
    """The lines of one set: the columns, and the model's row."""
    whole, model = pooled(run.verdicts.values()), run.model
    columns = ("kept facts", "junk", "stale left", "language kept")
    counts = ("tokens in", "tokens out", "calls", "seconds")
    shares = (_share(part, of) for part, of in _shares(whole).values())
    cells = (
        f"{run.each(model.tokens_in):,.0f}",
        f"{run.each(model.tokens_out):,.0f}",
        f"{run.each(model.calls):.2f}",
        f"{run.each(run.seconds):.2f}",
    )
    return [_line("model", columns, counts), _line(model.name, shares, cells)]


def figures(run: Measured) -> dict[str, object]:
    """Everything that a history keeps of a run; a share of nothing is None."""
    whole, model = pooled(run.verdicts.values()), run.model
    shares = {name: round(part / of, 5) if of else None for name, (part, of) in _shares(whole).items()}
    totals = {"tokens_in": model.tokens_in, "tokens_out": model.tokens_out, "calls": model.calls}
    return {
        "model": model.name,
        "prompt": prompts.source(PROMPT),
        "conversations": len(run.verdicts),
        "messages": run.messages,
        "sittings": run.sittings,
        "failed": len(run.failed),
        "facts": whole.facts,
        "stale": whole.stale,
        "memories": whole.memories,
        **shares,
        **totals,
        "estimated": model.estimated,
        "seconds": round(run.seconds, 3),
        "per_message": {name: round(run.each(total), 5) for name, total in (*totals.items(), ("seconds", run.seconds))},
    }


def _shares(whole: Verdict) -> dict[str, tuple[int, int]]:
    """By the name of each measure its part and its whole."""
    return {
        "kept": (whole.kept, whole.facts),
        "junk": (len(whole.junk), whole.memories),
        "stale_left": (len(whole.left), whole.stale),
        "language_kept": (whole.in_language, whole.memories),
    }


def _share(part: int, of: int) -> str:
    return f"{part / of:.1%} ({part}/{of})" if of else "- (0)"


def _line(name: str, shares: Iterator[str] | Sequence[str], counts: Sequence[str]) -> str:
    cells = [*(share.ljust(_SHARE) for share in shares), *(count.rjust(_COUNT) for count in counts)]
    return "".join([f"  {name}  ".ljust(_NAME), *cells]).rstrip()


def _wrong(verdict: Verdict) -> Iterator[str]:
    """What `--show` tells of a conversation."""
    for what, texts in (
        ("missed", verdict.missed),
        ("junk", verdict.junk),
        ("stale", verdict.left),
        ("foreign", verdict.foreign),
    ):
        yield from (f"    {what.ljust(8)} {' '.join(text.split())}" for text in texts)


def _run(given: argparse.Namespace, config: Config, one: DialogueSet) -> None:
    limited = one.model_copy(update={"conversations": one.conversations[: given.limit]})
    with tempfile.TemporaryDirectory(prefix="mcp-memory-bench-") as folder:
        place = {"database": str(Path(folder) / "memory.db"), "ephemeral": False, "timezone": "UTC"}
        run = asyncio.run(measure(config.replace(**place), limited, given.every))
    whole = pooled(run.verdicts.values())
    print(
        f"\n{one.name}: {len(run.verdicts)} conversations, {run.messages:,} messages of users in {run.sittings:,} "
        f"sittings; {whole.facts:,} facts and {whole.stale:,} stale ones; prompt {prompts.source(PROMPT)}"
    )
    print("\n".join(table(run)))
    if run.model.estimated:
        print(f"  tokens are estimated in {run.model.estimated:,} of {run.model.calls:,} calls")
    if run.failed:
        print(f"  sittings failed: {len(run.failed)}, the first of them {run.failed[0]}")
    for name, verdict in run.verdicts.items() if given.show else ():
        print("\n".join([f"  {name}: {verdict.memories} memories", *_wrong(verdict)]))
    if given.json:
        report = {"set": one.name, "every": given.every, "limited": given.limit is not None, **figures(run)}
        record(given.json, "extraction", report)


def _sets(given: argparse.Namespace) -> Iterator[DialogueSet]:
    files: list[Path] = given.files or [OWN]
    yield from map(read_dialogues, files)
    if given.locomo:
        turns, facts = (EVAL / f"{name}.json.gz" for name in LOCOMO)
        if turns.exists() and facts.exists():
            yield joined(read_set(turns), read_set(facts))
        else:
            print(f"No LoCoMo here: {turns.name} and {facts.name} belong into {EVAL}", file=sys.stderr)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="labelled sets, JSON or gzipped; default: the project's own"
    )
    parser.add_argument(
        "--locomo", action="store_true", help="also LoCoMo's turns, where they stand beside the project"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file; default: the usual one")
    parser.add_argument(
        "--every", type=_count, metavar="N", help="hand over after N messages of the user, not a sitting"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="the first N conversations of each set")
    parser.add_argument("--show", action="store_true", help="what was missed, junk, stale or foreign")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the figures of each set to FILE, a line each")
    return parser.parse_args(argv)


def _count(given: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 on")
    return int(given)


def main(argv: Sequence[str] | None = None) -> None:
    given = _arguments(argv)
    try:
        config = load(given.config, os.environ, {})
        if not config.llm.model:
            sys.exit(
                "No model is configured: set MCP_MEMORY_LLM_MODEL (and MCP_MEMORY_LLM_BASE_URL), or name a --config"
            )
        for one in _sets(given):
            _run(given, config, one)
    except (ConfigError, ModelError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
