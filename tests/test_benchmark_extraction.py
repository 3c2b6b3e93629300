import gzip
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from pydantic import ValidationError

from benchmarks import extraction
from benchmarks.common import ROOT, Conversation, EvalMemory, EvalSet
from benchmarks.dialogues import OWN, Dialogue, DialogueSet, Fact, joined, read_dialogues, sittings
from benchmarks.extraction import figures, measure, table
from benchmarks.facts import LATIN, judged, pooled, says, tongue
from mcp_memory.clock import SystemClock
from mcp_memory.config import Config
from mcp_memory.errors import ModelError
from mcp_memory.extraction.conversation import Message, read
from mcp_memory.sections import LlmConfig
from mcp_memory.testing import Chat, Computed, Raw, Received, ScriptedEndpoint, Status, scripted_endpoint
from mcp_memory.text.tokens import estimate

LYON, BERLIN, CELLO = "The user lives in Lyon.", "The user lives in Berlin.", "The user plays the cello."
KATZE = "Der Nutzer hat eine Katze."
TINY = DialogueSet(
    name="tiny",
    conversations=[
        Dialogue(
            id="alice",
            messages=[
                {"role": "user", "content": "I live in Lyon.", "at": "2025-01-01T10:00Z"},
                {"role": "assistant", "content": "And you surely own a dog.", "at": "2025-01-01T10:01Z"},
                {"role": "user", "content": "I play the cello.", "at": "2025-01-01T10:02Z"},
                {"role": "user", "content": "I moved from Lyon to Berlin.", "at": "2025-02-01T10:00Z"},
            ],
            facts=[
                Fact(text=BERLIN, any=[["berlin"]]),
                Fact(text=CELLO, any=[["cello"], ["play"]]),
                Fact(text=LYON, any=[["lyon"]], unless=["berlin"], stale=True),
            ],
        ),
        Dialogue(
            id="bob",
            messages=[{"role": "user", "content": "Ich habe eine Katze und mag sie."}],
            facts=[Fact(text=KATZE, any=[["katze", "kater"]])],
        ),
    ],
)
MESSAGES, SITTINGS = 4, 3
DOCUMENT = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def added(*contents: str) -> Chat:
    return replied(*({"op": "add", "content": content} for content in contents))


def replied(*operations: dict[str, Any]) -> Chat:
    return Chat(json.dumps({"operations": operations}))


def moved(request: Received) -> Chat:
    """The memory of Lyon, whatever its number, says Berlin."""
    known = re.search(r"^(\d+)\. .*Lyon", request.body["messages"][-1]["content"], re.MULTILINE)
    assert known is not None
    return replied({"op": "update", "id": int(known[1]), "content": BERLIN})


def echoed(request: Received) -> Chat:
    """Every message of the user is a memory."""
    conversation = request.body["messages"][-1]["content"].partition("Conversation:\n")[2]
    said = re.findall(
        r"^\[user[^]\n]*\]\n(.+?)(?=\n\[(?:user|assistant)[, ]|\Z)", conversation, re.MULTILINE | re.DOTALL
    )
    return added(*said)


@pytest.fixture
async def endpoint() -> AsyncGenerator[ScriptedEndpoint]:
    async with scripted_endpoint() as endpoint:
        yield endpoint


def config_of(endpoint: ScriptedEndpoint, tmp_path: Path) -> Config:
    llm = LlmConfig(model="scripted", base_url=endpoint.base_url, max_retries=0)
    return Config(database=str(tmp_path / "memory.db"), timezone="UTC", llm=llm)


@pytest.mark.parametrize(
    ("replies", "shares"),
    [
        pytest.param((added(LYON, CELLO), Computed(moved), added(KATZE)), (3 / 3, 0 / 3, 0 / 1, 3 / 3), id="perfect"),
        pytest.param((added(), added(), added()), (0 / 3, None, 0 / 1, None), id="lazy"),
        pytest.param(
            (added(CELLO, "The user said hello."), added("The assistant likes dogs."), added("The user has a cat.")),
            (1 / 3, 3 / 4, 0 / 1, 3 / 4),
            id="junk",
        ),
        pytest.param((added(LYON, CELLO), added(BERLIN), added(KATZE)), (3 / 3, 0 / 4, 1 / 1, 4 / 4), id="only adds"),
    ],
)
async def test_a_model_has_the_figures_that_its_memories_deserve(
    endpoint: ScriptedEndpoint,
    replies: tuple[Chat | Computed, ...],
    shares: tuple[float | None, ...],
    tmp_path: Path,
) -> None:
    endpoint.chat.then(*replies)
    run = await measure(config_of(endpoint, tmp_path), TINY)
    found = figures(run)
    assert tuple(found[name] for name in ("kept", "junk", "stale_left", "language_kept")) == tuple(
        share if share is None else pytest.approx(share, abs=1e-5) for share in shares
    )
    assert (found["messages"], found["sittings"], found["failed"]) == (MESSAGES, SITTINGS, 0)
    assert (found["calls"], found["tokens_in"], found["tokens_out"], found["estimated"]) == (3, 3, 3, 0)
    assert run.seconds > 0
    row = table(run)[1].split()
    assert row[0] == "scripted"
    assert row[-4:-1] == ["1", "1", "0.75"]


@pytest.mark.parametrize(("model", "reply"), [("keeps nothing", added()), ("keeps every message", Computed(echoed))])
async def test_the_documented_rows_of_our_own_set_are_what_scripted_models_get(
    endpoint: ScriptedEndpoint, model: str, reply: Chat | Computed, tmp_path: Path
) -> None:
    endpoint.chat.otherwise = reply
    run = await measure(config_of(endpoint, tmp_path), read_dialogues(OWN))
    assert not run.failed
    cells = [cell for cell in re.split(r"\s{2,}", table(run)[1]) if cell]
    (documented,) = (line for line in DOCUMENT.splitlines() if line.strip().startswith(model))
    assert re.split(r"\s{2,}", documented.strip())[1:] == cells[1:5]


async def test_every_memory_is_judged_however_many_there_are(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    words = [f"{colour} {thing}" for colour in ("red", "blue", "green", "grey") for thing in range(1000, 1026)]
    endpoint.chat.then(*(added(*words[at : at + 25]) for at in range(0, 104, 25)))
    talk = Dialogue(id="bob", messages=[{"role": "user", "content": f"Story {number}."} for number in range(5)])
    run = await measure(config_of(endpoint, tmp_path), DialogueSet(name="many", conversations=[talk]), every=1)
    assert sorted(run.verdicts["bob"].junk) == sorted(words)


async def test_what_went_wrong_can_be_read(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    endpoint.chat.then(added(LYON, "The user said hello."), added(), added("The user has a cat."))
    run = await measure(config_of(endpoint, tmp_path), TINY)
    alice, bob = run.verdicts["alice"], run.verdicts["bob"]
    assert (alice.missed, alice.junk, alice.left) == ((BERLIN, CELLO), ("The user said hello.",), (LYON,))
    assert (bob.missed, bob.junk, bob.foreign) == ((KATZE,), ("The user has a cat.",), ("The user has a cat.",))


async def test_tokens_are_those_the_endpoint_tells_and_else_estimated_and_repairs_count(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    content = added(KATZE).content
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    told = {"choices": [choice], "usage": {"prompt_tokens": 700, "completion_tokens": 30}}
    endpoint.chat.then(Raw(json.dumps(told).encode()), Chat('{"operations": 7}'), added())
    endpoint.chat.then(Raw(json.dumps({"choices": [choice]}).encode()))
    run = await measure(config_of(endpoint, tmp_path), TINY)
    sent = sum(estimate(message["content"]) for message in endpoint.requests[-1].body["messages"])
    assert run.model.calls == 4
    assert run.model.estimated == 1
    assert (run.model.tokens_in, run.model.tokens_out) == (700 + 1 + 1 + sent, 30 + 1 + 1 + estimate(content))


async def test_a_sitting_that_fails_is_counted_and_the_others_go_on(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    endpoint.chat.then(Status(400), added(BERLIN), added(KATZE))
    run = await measure(config_of(endpoint, tmp_path), TINY)
    assert [one.split(":")[0] for one in run.failed] == ["alice"]
    assert (figures(run)["kept"], run.model.calls) == (pytest.approx(2 / 3, abs=1e-5), 3)


async def test_a_run_of_which_nothing_succeeds_ends_with_the_setting_to_change(
    endpoint: ScriptedEndpoint, tmp_path: Path
) -> None:
    endpoint.chat.otherwise = Status(401)
    with pytest.raises(ModelError, match="check the key"):
        await measure(config_of(endpoint, tmp_path), TINY)


async def test_the_command_prints_a_row_and_appends_to_a_history(
    endpoint: ScriptedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.chat.then(added(LYON), added("The user said hello."), added(BERLIN))
    settings, file, log = tmp_path / "config.toml", tmp_path / "tiny.json.gz", tmp_path / "history.jsonl"
    settings.write_text(f'[llm]\nmodel = "scripted"\nbase_url = "{endpoint.base_url}"\n', encoding="utf-8")
    file.write_bytes(gzip.compress(TINY.model_dump_json().encode()))
    options = ["--config", str(settings), "--every", "1", "--limit", "1", "--show", "--json", str(log)]
    await anyio.to_thread.run_sync(extraction.main, [str(file), *options])
    printed = capsys.readouterr().out
    assert "tiny: 1 conversations, 3 messages of users in 3 sittings; 2 facts and 1 stale ones" in printed
    assert re.search(
        r"scripted +50\.0% \(1/2\) +33\.3% \(1/3\) +100\.0% \(1/1\) +100\.0% \(3/3\) +1 +1 +1\.00", printed
    )
    assert f"missed   {CELLO}" in printed
    assert "junk     The user said hello." in printed
    (run,) = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    assert (run["benchmark"], run["set"], run["model"], run["limited"]) == ("extraction", "tiny", "scripted", True)
    assert (run["kept"], run["stale_left"], run["per_message"]["calls"]) == (0.5, 1, 1)


def test_without_a_model_the_command_says_which_setting_is_missing(tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("", encoding="utf-8")
    with pytest.raises(SystemExit, match="MCP_MEMORY_LLM_MODEL"):
        extraction.main(["--config", str(settings)])


@pytest.mark.parametrize(
    ("memory", "fact", "said"),
    [
        ("The user MOVED to Lyón.", Fact(text="x", any=[["lyon"], ["live", "move"]]), True),
        ("The user likes Lyon.", Fact(text="x", any=[["lyon"], ["live", "move"]]), False),
        ("No longer in Lyon.", Fact(text="x", any=[["lyon"]], unless=["no longer"]), False),
        ("The wedding is on 2025-06-21.", Fact(text="x", any=[["2025 06 21", "21 June"]]), True),
        ("The wedding is on 2025-06-20.", Fact(text="x", any=[["2025 06 21", "21 June"]]), False),
        ("我打网球。", Fact(text="x", any=[["羽毛球"]]), False),
        ("Gina lost a job at a bank.", Fact(text="Jon lost his job as a banker at Door Dash."), False),
        ("He lost a job as the banker of Door.", Fact(text="Jon lost his job as a banker at Door Dash."), True),
    ],
)
def test_a_memory_says_a_fact_by_its_words(memory: str, fact: Fact, said: bool) -> None:
    assert says(memory, fact, ["Jon"]) is said


def test_a_name_of_a_speaker_tells_nothing_of_a_fact() -> None:
    fact = Fact(text="Jon dances tango weekly.")
    assert says("Jon dances.", fact) is False
    assert says("The user dances tango.", fact) is False
    assert says("The user dances tango.", fact, ["Jon"]) is True
    assert says("Jon.", Fact(text="Jon."), ["Jon"]) is False


@pytest.mark.parametrize(
    "fact",
    ['{"text": "x", "any": [[]]}', '{"text": "x", "any": [["?"]]}', '{"text": "x", "unless": ["…"]}', '{"text": "!"}'],
)
def test_a_fact_that_every_memory_or_none_would_say_is_refused(fact: str) -> None:
    with pytest.raises(ValidationError, match="without"):
        Fact.model_validate_json(fact)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The user lives in Berlin.", "english"),
        ("Der Nutzer wohnt in Berlin und ist Vegetarier.", "german"),
        ("L'utilisatrice est infirmière dans un lycée.", "french"),
        ("El usuario vive en Madrid con su hija.", "spanish"),
        ("Berlin!", LATIN),
        ("Write me a haiku.", LATIN),
        ("ユーザーは Emma Johansson と京都に住んでいる。", "japanese"),
        ("用户的女儿叫Emma。", "chinese"),
        ("المستخدمة تعيش في دبي.", "arabic"),
        ("Пользователь живёт в Берлине.", "cyrillic"),
        ("사용자는 서울에 산다.", "hangul"),
        ("1984?", ""),
    ],
)
def test_a_language_is_known_by_its_script_or_its_function_words(text: str, found: str) -> None:
    assert tongue(text) == found


@pytest.mark.parametrize(
    ("said", "memory", "foreign"),
    [
        ("Ich wohne in Graz und mag die Stadt.", "The user lives in Graz.", True),
        ("Ich wohne in Graz und mag die Stadt.", "Wohnort: Graz", False),
        ("大阪に住んでいます。", "用户住在大阪。", True),
        ("大阪に住んでいます。", "Osaka", True),
        ("Lyon!", "The user lives in Lyon.", False),
        ("Lyon!", "京都", True),
        ("大阪", "1984", False),
    ],
)
def test_a_memory_in_a_language_that_the_user_does_not_write_is_foreign(said: str, memory: str, foreign: bool) -> None:
    assert bool(judged([], [said], [memory]).foreign) is foreign


def test_conversations_are_pooled_fact_by_fact() -> None:
    fact = Fact(text=CELLO, any=[["cello"]])
    whole = pooled([judged([fact], [], [CELLO, "Hello."]), judged([fact, fact], [], [])])
    assert (whole.kept, whole.facts, whole.memories, whole.junk) == (1, 3, 2, ("Hello.",))


def test_a_sitting_ends_with_a_long_pause_or_after_so_many_messages_of_the_user() -> None:
    hour = 3_600_000_000
    times = [0, 5 * hour, None, 12 * hour, 13 * hour]
    messages = [
        Message(role="assistant" if number == 1 else "user", content=str(number), at=at)
        for number, at in enumerate(times)
    ]
    assert [[one.content for one in part] for part in sittings(messages)] == [["0", "1", "2"], ["3", "4"]]
    assert [[one.content for one in part] for part in sittings(messages, 1)] == [["0", "1"], ["2"], ["3"], ["4"]]
    assert sittings([]) == []


def test_turns_and_facts_of_locomo_become_a_conversation_for_each_speaker() -> None:
    def conversation(**texts: str) -> EvalSet:
        memories = [EvalMemory(id=name.replace("_", ":"), text=text) for name, text in texts.items()]
        return EvalSet(name="s", conversations=[Conversation(id="c", memories=memories, questions=[])])

    turns = conversation(D1_1="[1:56 pm on 8 May, 2023] Mia: Hey: you!", D1_2="[12:01 am on 9 May, 2023] Bo: Hi.")
    mia, bo = joined(turns, conversation(O1_Mia_0="Mia waves.", O1_Bo_0="Bo smiles.")).conversations
    assert (mia.id, [fact.text for fact in mia.facts]) == ("c Mia", ["Mia waves."])
    assert (bo.id, [fact.text for fact in bo.facts]) == ("c Bo", ["Bo smiles."])
    assert mia.messages[0] == {"role": "user", "name": "Mia", "at": "2023-05-08T13:56:00+00:00", "content": "Hey: you!"}
    assert [one["role"] for one in bo.messages] == ["assistant", "user"]
    assert bo.messages[1]["at"] == "2023-05-09T00:01:00+00:00"


OWN_TALKS = read_dialogues(OWN).conversations


@pytest.mark.parametrize("talk", OWN_TALKS, ids=lambda talk: talk.id)
def test_facts_of_our_own_set_say_themselves_and_no_stale_one(talk: Dialogue) -> None:
    messages = read(talk.messages, SystemClock().now(), None)
    said = [message.content for message in messages if message.role == "user"]
    current = [fact.text for fact in talk.facts if not fact.stale]
    found = judged(talk.facts, said, current)
    assert (found.missed, found.junk, found.left, found.foreign) == ((), (), (), ())
    for number, text in enumerate(current):
        assert text in judged(talk.facts, said, current[:number] + current[number + 1 :]).missed
    for fact in talk.facts:
        assert says(fact.text, fact)
    assert not any("Volvo" in one or "shellfish" in one for one in said)


def test_our_own_set_has_what_models_get_wrong() -> None:
    facts = [fact for talk in OWN_TALKS for fact in talk.facts]
    assert len({talk.id for talk in OWN_TALKS}) == len(OWN_TALKS) == 8
    assert sum(fact.stale for fact in facts) >= 8
    assert any(not talk.facts for talk in OWN_TALKS)
    assert any("stored notes, not instructions" in one["content"] for talk in OWN_TALKS for one in talk.messages)
    spoken = {tongue(one["content"]) for talk in OWN_TALKS for one in talk.messages if one["role"] == "user"}
    assert spoken >= {"english", "german", "french", "japanese", "arabic", "chinese"}
