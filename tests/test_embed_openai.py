import importlib
import logging
import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from mcp_memory.embed.openai import OpenAIEmbedder
from mcp_memory.errors import EmbeddingError
from mcp_memory.sections import EmbeddingConfig, Secret
from mcp_memory.testing import (
    Altered,
    Chat,
    Closed,
    Held,
    Raw,
    Reply,
    Status,
    Truncated,
    Vectors,
    bag_of_words,
    scripted_endpoint,
)

if TYPE_CHECKING:
    from mcp_memory.embed.base import Matrix

KEY = "sk-alice-0123456789"
TEXT = "alice drinks green tea"
Rows = list[dict[str, Any]]


class Seconds:
    """A time that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """So that the times in these tests are those of requests."""
    for name in ("numpy", "openai.resources"):
        importlib.import_module(name)


def embedder(
    base_url: str,
    *,
    model: str = "test-model",
    key: str = KEY,
    timeout: float = 30,
    longest_pause: float = 60.0,
    time: Callable[[], float] = anyio.current_time,
    **settings: Any,
) -> aclosing[OpenAIEmbedder]:
    given: dict[str, Any] = {"provider": "openai", "model": "configured", "timeout": timeout} | settings
    config = EmbeddingConfig(base_url=base_url, api_key=Secret(key), **given)
    return aclosing(OpenAIEmbedder(config, model, longest_pause=longest_pause, time=time))


async def failure(opened: OpenAIEmbedder, *texts: str) -> str:
    with pytest.raises(EmbeddingError) as raised:
        await opened.embed(texts or [TEXT])
    message = str(raised.value)
    assert "\n" not in message
    for secret in (KEY, TEXT, "alice", "drinks"):
        assert secret not in message, message
    return message


def values(value: object) -> Altered:
    """Every vector made of this value."""
    return Altered(lambda rows: [{**row, "embedding": [value] * 64} for row in rows])


def cut(length: int) -> Altered:
    """Vectors of this length."""
    return Altered(lambda rows: [{**row, "embedding": (row["embedding"] * 2)[:length]} for row in rows])


def reversed_(rows: Rows) -> Rows:
    return rows[::-1]


def without_index(rows: Rows) -> Rows:
    return [{"embedding": row["embedding"]} for row in rows]


def without_index_0(rows: Rows) -> Rows:
    return [{**row, "index": row["index"] or None} for row in rows]


def with_more(rows: Rows) -> Rows:
    return [{**row, "surprise": 1} for row in rows]


def assert_vectors(matrix: "Matrix", texts: Sequence[str]) -> None:
    import numpy as np

    rows = np.array([bag_of_words(text, 64) for text in texts])
    assert matrix.dtype == np.float32
    assert np.allclose(matrix, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-6)


async def test_vectors_come_in_the_order_of_the_texts_with_unit_length() -> None:
    texts = [TEXT, "bob plays chess", "green tea for alice"]
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        matrix = await opened.embed(texts)
    assert_vectors(matrix, texts)
    assert matrix[0] @ matrix[2] > 0.5 > matrix[0] @ matrix[1]


async def test_a_request_names_the_model_and_asks_for_plain_numbers() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, model="from-the-file") as opened:
        await opened.embed([TEXT])
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.body == {"model": "from-the-file", "input": [TEXT], "encoding_format": "float"}
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_dimensions_are_asked_for_where_configured_and_part_of_the_name() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, model="m", dimensions=16) as opened:
        assert opened.dimensions is None
        assert (await opened.embed([TEXT])).shape == (1, 16)
        assert (opened.name, opened.dimensions) == ("openai/m@16", 16)
    assert endpoint.requests[0].body["dimensions"] == 16


async def test_dimensions_are_unknown_until_the_first_answer() -> None:
    async with scripted_endpoint(dimensions=48) as endpoint, embedder(endpoint.base_url, model="m") as opened:
        assert (opened.name, opened.dimensions, opened.multilingual) == ("openai/m", None, True)
        await opened.embed([TEXT])
        assert opened.dimensions == 48


async def test_many_texts_go_out_in_batches_and_come_back_as_one_matrix() -> None:
    texts = [f"memory number {number}" for number in range(5)]
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, batch=2) as opened:
        matrix = await opened.embed(texts)
    assert [request.body["input"] for request in endpoint.requests] == [texts[:2], texts[2:4], texts[4:]]
    assert_vectors(matrix, texts)


async def test_no_texts_need_no_request() -> None:
    async with scripted_endpoint(dimensions=8) as endpoint, embedder(endpoint.base_url) as opened:
        assert (await opened.embed([])).shape == (0, 0)
        assert endpoint.requests == []
        await opened.embed([TEXT])
        assert (await opened.embed([])).shape == (0, 8)


@pytest.mark.parametrize("change", [reversed_, without_index, without_index_0, with_more])
async def test_answers_of_all_kinds_of_servers_are_read(change: Callable[[Rows], Rows]) -> None:
    texts = ["one thing", "another", "and a third"]
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        endpoint.embeddings.then(Altered(change))
        assert_vectors(await opened.embed(texts), texts)


@pytest.mark.parametrize("factor", [1e300, 1e-300, 1e-310, 5e-324, -1.0, 7])
async def test_vectors_of_any_size_are_normalised(factor: float) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        endpoint.embeddings.then(values(factor))
        assert (await opened.embed([TEXT])).tolist() == [[math.copysign(1 / 8, factor)] * 64]


async def test_a_text_that_utf_8_cannot_hold_is_embedded_all_the_same() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        assert (await opened.embed(["half a \ud83d pair"])).shape == (1, 64)
    assert endpoint.requests[0].body["input"] == ["half a ? pair"]


ECHO = {"error": {"message": f"{KEY} is wrong for {TEXT!r}", "code": f"{KEY} {TEXT}", "type": TEXT}}
BROKEN = "the connection broke; check the server and embedding.base_url"
NO_LIST = "what it answers is no list of embeddings; embedding.base_url must be"
NUMBERS = "some vectors are zero or hold values that are no numbers"


@pytest.mark.parametrize(
    ("reply", "said", "requests"),
    [
        (Status(400, body=ECHO), "status 400; check embedding.model and embedding.dimensions", 1),
        (Status(401, body=ECHO), "status 401; check the key in BOBS_KEY", 1),
        (Status(403, body=ECHO), "status 403; check that the key in BOBS_KEY may use embedding.model", 1),
        (Status(404, body=ECHO), "status 404; check embedding.model and embedding.base_url", 1),
        (Status(413, body=ECHO), "status 413; lower embedding.batch", 1),
        (Status(422, body={"detail": TEXT}), "status 422; check embedding.model", 1),
        (Status(418, body=[TEXT]), "status 418; check the server and embedding.base_url", 1),
        (Status(429, {"retry-after": "0"}, ECHO), "status 429; wait, or lower embedding.batch", 2),
        (Status(429, body={"error": {"code": "insufficient_quota"}}), "no credit left; check the plan behind", 1),
        (Status(500, body=ECHO), "status 500; check the server and embedding.base_url", 2),
        (Status(503, {"retry-after-ms": "1"}), "status 503; check the server", 2),
        (Status(301, {"location": "http://127.0.0.1:9/v1/"}), "redirects (status 301); set embedding.base_url", 1),
        (Raw(b"\x00\xff<html>rubbish"), NO_LIST, 1),
        (Raw(b""), NO_LIST, 1),
        (Raw(b"null"), NO_LIST, 1),
        (Raw(b'{"error": {"message": "alice drinks"}}'), NO_LIST, 1),
        (Raw(b'{"data": [{"index": 0, "embedding": "AACAPw=="}]}'), NO_LIST, 1),
        (Raw(b'{"data": [{"index": 0, "embedding": [[1, 2]]}]}'), NO_LIST, 1),
        (values(None), NO_LIST, 1),
        (values("0.5"), NO_LIST, 1),
        (Truncated(), BROKEN, 2),
        (Closed(), BROKEN, 2),
        (Altered(lambda rows: rows[:-1]), "2 vectors came for 3 texts; set embedding.batch = 1", 1),
        (Altered(lambda rows: [*rows, rows[0]]), "4 vectors came for 3 texts", 1),
        (Altered(lambda _: []), "0 vectors came for 3 texts", 1),
        (Altered(lambda rows: [{**row, "index": 0} for row in rows]), "not numbered as the texts are", 1),
        (Altered(lambda rows: [{**row, "index": row["index"] + 1} for row in rows]), "not numbered", 1),
        (Altered(lambda rows: [{**rows[0], "embedding": [1.0]}, *rows[1:]]), "not all of one length", 1),
        (cut(0), "empty, or not all of one length; check embedding.model", 1),
        (values(float("nan")), NUMBERS, 1),
        (values(float("inf")), NUMBERS, 1),
        (Raw(b'{"data": [' + b",".join([b'{"embedding": [1e999]}'] * 3) + b"]}"), NUMBERS, 1),
        (values(0), NUMBERS, 1),
    ],
)
async def test_every_failure_is_one_line_that_names_endpoint_model_and_setting(
    reply: Reply, said: str, requests: int
) -> None:
    async with (
        scripted_endpoint() as endpoint,
        embedder(endpoint.base_url, model="new\n{model}", api_key_env="BOBS_KEY") as opened,
    ):
        endpoint.embeddings.otherwise = reply
        message = await failure(opened, TEXT, "bob", "carol")
        assert message.startswith(f"{endpoint.base_url}, model 'new\\n{{model}}': ")
        assert said in message
        assert len(endpoint.requests) == requests
        assert opened.dimensions is None


@pytest.mark.parametrize(
    "reply", [Status(500), Status(408), Status(429, {"retry-after": "0.01"}), Closed(), Truncated()]
)
async def test_what_may_pass_is_tried_once_more(reply: Reply) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        endpoint.embeddings.then(reply)
        assert_vectors(await opened.embed([TEXT]), [TEXT])
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    "headers", [{"retry-after": "30"}, {"retry-after": "Sat, 21 Nov 2026 12:00:00 GMT"}, {"retry-after-ms": "20000"}]
)
async def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(headers: dict[str, str]) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, timeout=20) as opened:
        endpoint.embeddings.then(Status(429, headers))
        with anyio.fail_after(5):
            assert "status 429" in await failure(opened)
    assert len(endpoint.requests) == 1


async def test_nobody_listening_is_a_refused_connection() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with embedder(f"http://127.0.0.1:{reserved.getsockname()[1]}/v1") as opened:
            assert "connection refused; start the server, or change embedding.base_url" in await failure(opened)


async def test_a_name_that_does_not_exist_is_told_as_such() -> None:
    too_long = ".".join(["name" * 15] * 6)  # refused by the resolver itself, without a question to the network
    async with embedder(f"http://{too_long}:1/v1") as opened:
        assert "its name is not known to the network; check embedding.base_url" in await failure(opened)


async def test_a_server_that_speaks_no_tls_is_told_as_such() -> None:
    async with (
        scripted_endpoint() as endpoint,
        embedder(endpoint.base_url.replace("http:", "https:")) as opened,
    ):
        assert "no trusted TLS connection; check https in embedding.base_url" in await failure(opened)


async def test_a_slow_server_is_left_when_the_time_is_up() -> None:
    held = Held()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, timeout=0.5) as opened:
        endpoint.embeddings.then(held)
        with anyio.fail_after(5):
            assert "no answer within 0.5 s; check the server, or raise embedding.timeout" in await failure(opened)
            await held.abandoned.wait()


async def test_the_time_is_that_of_all_batches_and_tries_together() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, timeout=0.8, batch=1) as opened:
        endpoint.embeddings.then(*[Status(429, {"retry-after": "0.5"}), Vectors()] * 2)
        await failure(opened, "green", "tea")
    assert len(endpoint.requests) < 4


async def test_an_answer_that_comes_late_but_in_time_counts() -> None:
    held = Held()
    async with (
        scripted_endpoint() as endpoint,
        embedder(endpoint.base_url) as opened,
        anyio.create_task_group() as group,
    ):
        endpoint.embeddings.then(held)
        group.start_soon(opened.embed, [TEXT])
        await held.reached.wait()
        assert opened.dimensions is None
        held.released.set()
    assert opened.dimensions == 64


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((64, 32), "its vectors had 64 dimensions and now have 32; if embedding.model means another model now, run"),
        ((32, 64, 64), "its vectors had 32 dimensions and now have 64"),
    ],
)
async def test_vectors_of_another_length_than_before_are_refused(lengths: tuple[int, ...], said: str) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        endpoint.embeddings.then(*map(cut, lengths))
        await opened.embed([TEXT])
        assert said in await failure(opened)
        assert opened.dimensions == lengths[0]


async def test_a_change_of_length_within_the_first_call_settles_nothing() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, batch=1, longest_pause=0) as opened:
        endpoint.embeddings.then(cut(32), cut(16), cut(16), cut(16))
        assert "had 32 dimensions and now have 16" in await failure(opened, TEXT, "bob")
        assert (await opened.embed([TEXT, "bob"])).shape == (2, 16)


async def test_other_dimensions_than_those_asked_for_are_refused() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, dimensions=16) as opened:
        endpoint.embeddings.then(cut(24))
        message = await failure(opened)
    assert "16 dimensions were asked for and 24 came; set embedding.dimensions = 24, or 0" in message


async def test_after_a_failure_calls_fail_at_once_for_a_while_that_doubles_up_to_a_minute() -> None:
    time = Seconds()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=time) as opened:
        endpoint.embeddings.otherwise = Status(401)
        first = await failure(opened)
        for sent, pause in enumerate([1, 2, 4, 8, 16, 32, 60, 60], start=1):
            time.now += pause - 0.01
            assert await failure(opened) == first
            assert len(endpoint.requests) == sent
            time.now += 0.01
            assert await failure(opened) == first
            assert len(endpoint.requests) == sent + 1


async def test_a_success_ends_the_pauses() -> None:
    time = Seconds()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=time) as opened:
        endpoint.embeddings.then(Status(401), Status(401), Vectors(), Status(401), Vectors())
        for pause in (1, 2):
            await failure(opened)
            time.now += pause
        await opened.embed([TEXT])
        await failure(opened)
        time.now += 1
        await opened.embed([TEXT])


async def test_a_pause_is_at_least_what_the_server_asks_for() -> None:
    time = Seconds()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=time) as opened:
        endpoint.embeddings.then(Status(429, {"retry-after": "30"}))
        await failure(opened)
        time.now += 29
        await failure(opened)
        time.now += 1
        await opened.embed([TEXT])


async def test_a_call_that_began_before_an_outage_and_fails_with_it_changes_no_pause() -> None:
    time, held = Seconds(), Held(Status(404))
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=time) as opened:
        endpoint.embeddings.then(held, Status(404), Status(404))
        async with anyio.create_task_group() as group:
            group.start_soon(failure, opened)
            await held.reached.wait()
            await failure(opened)
            time.now += 1
            await failure(opened)
            held.released.set()
        time.now += 1.99
        await failure(opened)
        time.now += 0.01
        await opened.embed([TEXT])


@pytest.mark.parametrize("reply", [Status(400), Status(413), Status(422), values(float("nan")), values(0)])
async def test_what_fails_for_the_texts_sent_keeps_no_other_text_back(reply: Reply) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=Seconds()) as opened:
        endpoint.embeddings.then(reply)
        await failure(opened)
        await opened.embed(["bob plays chess"])


async def test_bulk_work_is_never_held_back() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, longest_pause=0, time=Seconds()) as opened:
        endpoint.embeddings.then(Status(401), Status(429, {"retry-after": "30"}))
        await failure(opened)
        await failure(opened)
        await opened.embed([TEXT])


async def test_a_call_that_its_caller_gave_up_is_no_failure() -> None:
    held = Held()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, time=Seconds()) as opened:
        endpoint.embeddings.then(held)
        async with anyio.create_task_group() as group:
            group.start_soon(opened.embed, [TEXT])
            await held.reached.wait()
            group.cancel_scope.cancel()
        await held.abandoned.wait()
        await opened.embed([TEXT])


async def test_without_a_key_openai_is_not_asked_and_the_variable_named() -> None:
    async with embedder("", key=" ", api_key_env="BOBS_KEY") as opened:
        message = await failure(opened)
    assert message.startswith("https://api.openai.com/v1, model 'test-model': no key; set the variable BOBS_KEY")


@pytest.mark.parametrize(("key", "sent"), [("", "none"), (f" {KEY}\r\n", KEY)])
async def test_without_a_key_a_placeholder_is_sent_and_blanks_around_one_are_not(key: str, sent: str) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, key=key) as opened:
        await opened.embed([TEXT])
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {sent}"


@pytest.mark.parametrize("key", [f"{KEY}\nx-more: 1", f"{KEY}é", f"{KEY}\x7f"])
async def test_a_key_that_fits_no_header_is_not_sent(key: str) -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url, key=key) as opened:
        message = await failure(opened)
    assert "the key has characters that no HTTP header carries; check the key in OPENAI_API_KEY" in message
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "base_url",
    [
        "localhost:1/v1",
        "ftp://127.0.0.1/v1",
        "http://",
        "http://[zz]/",
        "http://a b/",
        "http://h:99999",
        "http://h/?q=1",
    ],
)
async def test_a_base_url_that_is_none_is_told_without_repeating_it(base_url: str) -> None:
    async with embedder(base_url) as opened:
        message = await failure(opened)
    assert "embedding.base_url is no http or https address without a query; set it to one such as" in message
    assert base_url not in message.replace("http://127.0.0.1:11434/v1", "")


async def test_a_password_in_the_base_url_is_not_repeated() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url.replace("//", "//bob:pass@")) as opened:
        endpoint.embeddings.then(Status(404))
        message = await failure(opened)
    assert message.startswith(f"{endpoint.base_url}, model")
    assert "pass" not in message


@pytest.mark.promise("P11")
@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_texts_do_not_follow_a_redirect_to_an_address_that_nobody_configured(code: int) -> None:
    async with (
        scripted_endpoint() as elsewhere,
        scripted_endpoint() as endpoint,
        embedder(endpoint.base_url) as opened,
    ):
        endpoint.embeddings.otherwise = Status(code, {"location": f"{elsewhere.base_url}/embeddings"})
        assert f"it redirects (status {code})" in await failure(opened)
    assert elsewhere.requests == []


async def test_texts_and_key_stay_out_of_the_most_detailed_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        await opened.embed([TEXT])
    assert "/v1/embeddings" in caplog.text
    assert TEXT not in caplog.text
    assert KEY not in caplog.text


async def test_it_closes_before_use_twice_and_opens_again() -> None:
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        await opened.aclose()
        await opened.embed([TEXT])
        await opened.aclose()
        await opened.aclose()
        assert (await opened.embed([TEXT])).shape == (1, 64)


async def test_a_call_in_flight_when_it_closes_ends_in_one_line() -> None:
    held = Held()
    async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
        endpoint.embeddings.then(held, held)
        async with anyio.create_task_group() as group:
            group.start_soon(failure, opened)
            await held.reached.wait()
            await opened.aclose()


CHILD = """
import os, sys, threading
import anyio
from mcp_memory.sections import EmbeddingConfig
from mcp_memory.embed.openai import OpenAIEmbedder
from mcp_memory.errors import EmbeddingError

class Watch:
    def find_spec(self, name, path=None, target=None):
        on_the_loop = threading.current_thread() is threading.main_thread()
        if name in {"openai", "numpy"} or (on_the_loop and name.startswith(("openai.", "numpy."))):
            print(name, "on the loop" if on_the_loop else "beside")

async def embed():
    config = EmbeddingConfig(provider="openai", model="m", base_url=sys.argv[1], timeout=60)
    embedder = OpenAIEmbedder(config, "m")
    await embedder.aclose()
    print("made")
    try:
        print((await embedder.embed(["tea"])).shape)
    except EmbeddingError as error:
        print(error)
    await embedder.aclose()

sys.meta_path.insert(0, Watch())
anyio.run(embed)
os.environ["ALL_PROXY"] = "nonsense://127.0.0.1:9"
anyio.run(embed)
"""


@pytest.mark.promise("P6")
@pytest.mark.promise("P11")
async def test_the_client_is_loaded_on_first_use_off_the_event_loop_and_takes_no_address_from_the_environment() -> None:
    variables = {"OPENAI_BASE_URL": "http://127.0.0.1:9", "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    async with scripted_endpoint() as endpoint:
        command = [sys.executable, "-c", CHILD, endpoint.base_url]
        child = await anyio.run_process(command, env={**os.environ, **variables})
    assert child.stderr == b""
    lines = child.stdout.decode().splitlines()
    assert lines[0] == "made"
    assert sorted(lines[1:3]) == ["numpy beside", "openai beside"]
    assert lines[3:5] == ["(1, 64)", "made"]
    assert "no client could be made (ValueError); check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY" in lines[5]
    assert not {"openai-organization", "openai-project"} & set(endpoint.requests[0].headers)


async def test_the_scripted_endpoint_holds_a_conversation() -> None:
    from openai import AsyncOpenAI, BadRequestError, RateLimitError

    async with (
        scripted_endpoint() as endpoint,
        AsyncOpenAI(api_key="none", base_url=endpoint.base_url, max_retries=0) as client,
    ):
        endpoint.chat.then(Chat('{"kept": 1}'), Status(429), Chat('{"kept"', finish_reason="length"))

        async def ask() -> tuple[str | None, str]:
            said = await client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": TEXT}],
                response_format={"type": "json_object"},
            )
            return said.choices[0].message.content, said.choices[0].finish_reason

        assert await ask() == ('{"kept": 1}', "stop")
        with pytest.raises(RateLimitError):
            await ask()
        assert await ask() == ('{"kept"', "length")
        with pytest.raises(BadRequestError, match="no chat reply left"):
            await ask()
        assert endpoint.requests[0].path == "/v1/chat/completions"
        assert endpoint.requests[0].body["response_format"] == {"type": "json_object"}


async def test_the_scripted_endpoint_tells_of_its_own_mistakes() -> None:
    async def misuse() -> None:
        async with scripted_endpoint() as endpoint, embedder(endpoint.base_url) as opened:
            endpoint.embeddings.otherwise = Altered(lambda rows: rows[0]["misspelt"])
            await failure(opened)

    with pytest.raises(KeyError, match="misspelt"):
        await misuse()
