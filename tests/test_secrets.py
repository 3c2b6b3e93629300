"""Secrets (P9, B5): what is taken for one, and what becomes of it on every way in."""

import json
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, Final

import pytest
from mcp import Client

from benchmarks.secrets import PARTS, Labelled, judged, labelled, ours
from mcp_memory import config as settings
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError
from mcp_memory.sections import SecretsConfig
from mcp_memory.testing import FakeClock
from mcp_memory.text import clean, credential, redacted, secrets
from tests.support import Mode, call, connected, ok, refused, text
from tests.test_stdio import Server

SET: Final = labelled()
PASSWORD: Final = "Tr0ub4dor&3"
KEY: Final = "sk-" + "proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"
CARD: Final = "4111 1111 1111 1111"
IBAN: Final = "DE89 3704 0044 0532 0130 00"
SECRETS: Final = (PASSWORD, KEY, CARD, IBAN, CARD.replace(" ", ""))
FULL_WIDTH: Final = str.maketrans("0123456789", "０１２３４５６７８９")

FIELDS: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "a password in the content": ({"content": f"The wifi password is {PASSWORD}."}, "content", "a password"),
    "a key in the content": ({"content": f"Uses {KEY} for the bot"}, "content", "an API key"),
    "a card in the content": ({"content": f"Pays with {CARD}"}, "content", "a card number"),
    "an account in the content": ({"content": f"Rent goes to {IBAN}"}, "content", "an IBAN"),
    "a topic": ({"content": "Has a bot", "topics": ["work", KEY]}, "topics", "an API key"),
    "a key": ({"content": "Has a bot", "key": KEY}, "key", "an API key"),
    "a value of metadata": ({"content": "Has a bot", "metadata": {"a": [{"b": KEY}]}}, "metadata", "an API key"),
    "a name in metadata": ({"content": "Has a bot", "metadata": {KEY: 1}}, "metadata", "an API key"),
    "a number in metadata": ({"content": "Pays", "metadata": {"n": 4111111111111111}}, "metadata", "a card number"),
    "a password by its name": ({"content": "Wifi", "metadata": {"password": PASSWORD}}, "metadata", "a password"),
    "a password by its key": ({"content": PASSWORD, "key": "wifi_password"}, "content", "a password"),
}


def values(fields: dict[str, Any]) -> list[str]:
    """The secrets that a case holds, as they could be found again."""
    return [one for one in SECRETS if one in json.dumps(fields)]


def of(part: str) -> list[Labelled]:
    return [one for one in SET if part in {one.part, "all"}]


@pytest.mark.promise("P9")
@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_most_secrets_are_found_and_next_to_nothing_else(part: str) -> None:
    row = judged(ours, of(part))
    assert row.found / row.positives >= 0.95
    assert row.alarms / row.negatives <= 0.01


@pytest.mark.parametrize("value", ["p4ssw0rd", "q1w2e3r4", "v1kings", "$ummer2031", "@dmin2031", "%2Fab31x", "123456"])
def test_a_common_password_is_no_version_and_no_variable(value: str) -> None:
    said = f"The password is {value}."
    assert redacted(said, secrets(said)) == "The password is [redacted: password]."


@pytest.mark.parametrize(
    "value", ["v2.31.0", "SHA-256", "$DB_PASSWORD", "$secret", "${PW}", "@decorator", "%PW%", "s3"]
)
def test_a_version_or_a_variable_is_no_password(value: str) -> None:
    assert secrets(f"The password is {value}.") == ()


def test_the_set_is_as_large_as_it_says() -> None:
    assert sum(one.kind is not None for one in SET) >= 200
    assert sum(one.kind is None for one in SET) >= 400
    assert len({one.text for one in SET}) == len(SET)


@pytest.mark.parametrize("kind", sorted({one.kind for one in SET if one.kind}))
def test_what_is_found_is_called_what_it_is(kind: str) -> None:
    found = [credential(one.text) for one in SET if one.kind == kind]
    assert {one for one in found if one is not None} == {kind}


@pytest.mark.promise("P9")
def test_what_is_redacted_holds_no_secret_any_more_and_all_around_it() -> None:
    for one in SET:
        found = secrets(one.text)
        left = redacted(one.text, found)
        assert secrets(left) == (), left
        assert left.count("[redacted: ") == len(found), left
        for secret in found:
            assert one.text[secret.start : secret.end] not in left, left


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    "hidden",
    [
        f"Pays with {CARD}".translate(FULL_WIDTH),
        f"Uses {KEY[:9]}\u200b{KEY[9:20]}\u2060{KEY[20:]}",
        f"Uses {KEY[:9]}\u00ad{KEY[9:]}",
        f"Uses {KEY[:9]}\u034f{KEY[9:]}",
        "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in f"password: {PASSWORD}"),
        f"pass\u200dword: {PASSWORD}",
        f"ﬁrst, the password: {PASSWORD}",
    ],
    ids=["full-width digits", "zero width", "soft hyphen", "joiner of graphemes", "full width", "joiner", "ligature"],
)
def test_a_secret_that_hides_in_other_characters_is_found_whole(hidden: str) -> None:
    cleaned = clean(hidden)
    (secret,) = secrets(cleaned)
    left = redacted(cleaned, [secret])
    assert left.endswith(f"[redacted: {secret.kind}]")
    assert secrets(left) == ()


HOSTILE: Final[dict[str, Callable[[int], str]]] = {
    piece.strip()[:24]: (lambda n, piece=piece: piece * n)
    for piece in (
        *(
            "password ",
            "password: ",
            "password_",
            "password is ",
            '"password":',
            "密码是",
            "パスワードは",
            "pin ",
            "key: a",
        ),
        *("sk-", "sk-a", "sk_", "eyJ", "eyJ-", "eyJaaaaaaaa.", "SG.", "SG-a.", "ghp_", "xoxb-", "AKIA", ".aaaaaa."),
        *("-----BEGIN PRIVATE KEY", "-----BEGIN A ", "-----END ", "://", "://a:", "://a:b@", "bearer ", "basic YTpi"),
        *(
            "4111 ",
            "4111-1111 ",
            "4",
            "DE89 ",
            "DE89",
            "seed phrase is ",
            "abandon ",
            "-u a:",
            "mysql ",
            "-p",
            '"',
            "(",
        ),
        *(
            "webhook.office.com",
            "hooks.slack.com/services/T",
            "é",
            "ﬁ",
            "\u200d",
            "\u00ad",
            "x=",
            "a1",
            " ",
            "\n",
            "sig=",
        ),
    )
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_time_grows_with_the_length_and_no_faster(name: str) -> None:
    def took(length: int) -> float:
        hostile = HOSTILE[name](length)[:length] + "!"
        times: list[float] = []
        for _ in range(3):
            began = process_time()
            secrets(hostile)
            times.append(process_time() - began)
        return min(times)

    secrets(HOSTILE[name](100))
    # Eight times the length: eight times as long, or 64 times where it grows with the square.
    assert took(16_000) <= 30 * max(took(2_000), 0.000_5)


def test_many_different_characters_take_no_longer() -> None:
    different = "".join(chr(point) for point in range(0xF900, 0xFDFF)) * 8
    began = process_time()
    assert secrets(different) == ()
    assert process_time() - began < 5


@pytest.mark.promise("P9")
@pytest.mark.parametrize("case", FIELDS)
async def test_a_secret_is_refused_by_its_kind_and_never_repeated(config: Config, mode: Mode, case: str) -> None:
    fields, field, kind = FIELDS[case]
    async with connected(config, mode) as client:
        kept = (await ok(client, "add_memory", content="Has a cat"))["memory"]["id"]
        for tool, given in (("add_memory", fields), ("update_memory", {"id": kept, **fields})):
            message = await refused(client, tool, **given)
            assert message.startswith(f"{field} holds what looks like {kind}"), message
            assert "say where it is kept" in message
            assert not any(value in message for value in values(fields))
        listed = await ok(client, "list_memories")
        assert [one["content"] for one in listed["memories"]] == ["Has a cat"]
        assert listed["memories"][0]["version"] == 1


@pytest.mark.promise("P9")
@pytest.mark.parametrize("case", FIELDS)
async def test_a_secret_is_redacted_where_that_is_asked_for(config: Config, mode: Mode, case: str) -> None:
    fields, field, kind = FIELDS[case]
    said = f"{kind.split(maxsplit=1)[1]} in {field}"
    async with connected(acting(config, "redact"), mode) as client:
        kept = (await ok(client, "add_memory", content="Has a cat"))["memory"]["id"]
        for tool, given in (("update_memory", {"id": kept, **fields}), ("add_memory", fields)):
            if field == "key":  # redacted, two keys would be the same
                assert "key holds" in await refused(client, tool, **given)
                continue
            result = await call(client, tool, **given)
            assert not result.is_error, text(result)
            shown = text(result) + json.dumps(result.structured_content)
            assert result.structured_content is not None
            assert result.structured_content["redacted"] == [said]
            assert f"Redacted: {said}." in text(result)
            assert f"[redacted: {kind.split(maxsplit=1)[1]}]".lower() in shown.lower()
            assert not any(value in shown for value in values(fields))
        stored = json.dumps(await ok(client, "list_memories"))
        assert not any(value in stored for value in values(fields))


@pytest.mark.parametrize("case", FIELDS)
async def test_a_secret_is_stored_where_that_is_allowed(config: Config, mode: Mode, case: str) -> None:
    fields, _, _ = FIELDS[case]
    async with connected(acting(config, "allow"), mode) as client:
        added = await ok(client, "add_memory", **fields)
        assert "redacted" not in added
        shown = json.dumps(added["memory"])
        assert any(value.casefold() in shown.casefold() for value in values(fields))


def acting(config: Config, action: str) -> Config:
    return config.replace(secrets=SecretsConfig.checked({"action": action}))


async def extracted(client: Client) -> dict[str, Any]:
    operations = [
        {"op": "add", "content": f"The key is {KEY}"},
        {"op": "add", "content": "Has a bot", "topics": [KEY], "reason": f"said {KEY}"},
        {"op": "add", "content": f"Pays with {CARD}", "reason": "said so"},
        {"op": "add", "content": "Has a dog"},
    ]
    return await ok(client, "extract_memories", operations=operations)


@pytest.mark.promise("P9")
async def test_what_a_model_decides_with_a_secret_is_skipped(config: Config, mode: Mode) -> None:
    async with connected(config, mode) as client:
        reply = await extracted(client)
        assert [one["memory"]["content"] for one in reply["operations"]] == ["Has a dog"]
        assert [one["reason"].split(",")[0] for one in reply["skipped"]] == [
            "content holds what looks like an API key",
            "topics holds what looks like an API key",
            "content holds what looks like a card number",
        ]
        assert KEY not in json.dumps(reply)
        assert CARD not in json.dumps(reply)


@pytest.mark.promise("P9")
async def test_what_a_model_decides_with_a_secret_is_redacted_where_that_is_asked_for(
    config: Config, mode: Mode
) -> None:
    async with connected(acting(config, "redact"), mode) as client:
        reply = await extracted(client)
        done = {one["memory"]["content"]: one.get("redacted") for one in reply["operations"]}
        assert done == {
            "The key is [redacted: API key]": ["API key in content"],
            "Has a bot": ["API key in topics"],
            "Pays with [redacted: card number]": ["card number in content"],
            "Has a dog": None,
        }
        assert reply["skipped"] == []
        assert KEY not in json.dumps(reply)


async def test_only_what_is_given_is_looked_at_and_what_was_stored_before_can_be_restored(
    config: Config, clock: FakeClock, mode: Mode
) -> None:
    async with connected(acting(config, "allow"), mode, clock) as client:
        added = await ok(client, "add_memory", content=f"The password is {PASSWORD}")
    async with connected(config, mode, clock) as client:
        kept = added["memory"]["id"]
        updated = await ok(client, "update_memory", id=kept, topics=["wifi"])
        assert updated["memory"]["content"] == f"The password is {PASSWORD}"
        await ok(client, "delete_memory", id=kept)
        await ok(client, "undo")
        assert (await ok(client, "get_memory", id=kept))["memory"]["content"] == f"The password is {PASSWORD}"


async def test_a_search_for_a_secret_is_no_storing_of_it(config: Config) -> None:
    async with connected(config) as client:
        assert (await ok(client, "search_memories", query=f"password {PASSWORD} {KEY}"))["hits"] == []


@pytest.mark.promise("P9")
async def test_an_error_about_something_else_does_not_repeat_a_secret_either(config: Config) -> None:
    async with connected(config) as client:
        for message in (
            await refused(client, "add_memory", content="Has a cat", expires=KEY),
            await refused(client, "update_memory", id=KEY, content="x"),
            await refused(client, "add_memory", **{"content": "Has a cat", KEY: 1}),
        ):
            assert KEY[:20] not in message
            assert "[redacted: API key]" in message


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.promise("P9")
@pytest.mark.parametrize("action", ["refuse", "redact"])
async def test_the_file_holds_no_secret_that_was_not_to_be_stored(
    tmp_path: Path, config: Config, mode: Mode, action: str
) -> None:
    async with connected(acting(config, action), mode) as client:
        for fields, _, _ in FIELDS.values():
            await call(client, "add_memory", **fields)
        await extracted(client)
        await ok(client, "add_memory", content="Has a cat")
    held = all_bytes(tmp_path)
    assert b"Has a cat" in held
    assert (b"[redacted: " in held) == (action == "redact")
    for value in SECRETS:
        assert value.encode() not in held
        assert value.lower().encode() not in held


@pytest.mark.promise("P9")
@pytest.mark.parametrize("level", ["warning", "debug"])
def test_neither_the_log_nor_a_reply_holds_a_secret_that_was_refused(tmp_path: Path, level: str) -> None:
    with Server(tmp_path, "--database", str(tmp_path / "memory.db"), "--log-level", level) as server:
        server.initialize()
        for fields, _, _ in FIELDS.values():
            assert server.call("add_memory", **fields)["isError"]
        told = b"".join(server.lines).decode() + server.errors()
    assert "holds what looks like" in told
    for value in SECRETS:
        assert value not in told


def test_the_action_is_one_of_three(tmp_path: Path) -> None:
    assert Config().secrets.action == "refuse"
    loaded = settings.load(None, {"MCP_MEMORY_SECRETS_ACTION": "redact"}, {})
    assert loaded.secrets.action == "redact"
    file = tmp_path / "config.toml"
    file.write_text('[secrets]\naction = "ask"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"secrets\.action: .*refuse, redact, allow"):
        settings.load(file, {}, {})
