import importlib
import json
import logging
import os
import re
import socket
import sys
import traceback
from contextlib import aclosing
from typing import Any, Final

import anyio
import pytest

from mcp_memory.errors import ModelError
from mcp_memory.llm.base import ChatMessage, json_in
from mcp_memory.llm.openai import OpenAIModel
from mcp_memory.sections import LlmConfig, Secret
from mcp_memory.testing import (
    Chat,
    Closed,
    Computed,
    Delayed,
    Held,
    Raw,
    Received,
    Refusing,
    Reply,
    Status,
    Truncated,
    scripted_endpoint,
)

KEY: Final = "sk-alice-0123456789"
TEXT: Final = "alice drinks green tea"
SYSTEM: Final = ChatMessage("system", "Find what is worth keeping.")
USER: Final = ChatMessage("user", TEXT)
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"kept": {"type": "array", "items": {"type": "string"}}},
    "required": ["kept"],
    "additionalProperties": False,
}
FINE: Final = Chat('{"kept": []}')


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """So that the times in these tests are those of requests."""
    for name in ("openai.resources.embeddings", "openai.resources.chat"):
        importlib.import_module(name)


def model(base_url: str, *, key: str = KEY, **settings: Any) -> aclosing[OpenAIModel]:
    given: dict[str, Any] = {"model": "test-model", "base_url": base_url, "timeout": 30, **settings}
    return aclosing(OpenAIModel(LlmConfig(**given, api_key=Secret(key))))


async def asked(opened: OpenAIModel, *messages: ChatMessage) -> str:
    return (await opened.complete(messages or [SYSTEM, USER], SCHEMA)).text


async def failure(opened: OpenAIModel) -> str:
    with pytest.raises(ModelError) as raised:
        await asked(opened)
    message = str(raised.value)
    assert "\n" not in message
    for secret in (KEY, TEXT, "alice", "drinks"):
        assert secret not in "".join(traceback.format_exception(raised.value)), message
    return message


def forms(requests: list[Received]) -> list[str]:
    """What each request demanded of the form of the reply."""
    return [request.body.get("response_format", {"type": "text"})["type"] for request in requests]


async def test_a_request_carries_messages_schema_limit_and_temperature() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, max_tokens=100) as opened:
        endpoint.chat.then(FINE)
        assert opened.name == "test-model"
        await asked(opened)
    (request,) = endpoint.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "test-model",
        "messages": [{"role": "system", "content": SYSTEM.content}, {"role": "user", "content": TEXT}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA},
        },
        "max_tokens": 100,
        "temperature": 0.0,
    }


@pytest.mark.parametrize(("temperature", "sent"), [(None, None), (0, 0), (0.7, 0.7)])
async def test_a_temperature_is_sent_unless_there_is_none(temperature: object, sent: float | None) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, temperature=temperature) as opened:
        endpoint.chat.then(FINE)
        await asked(opened)
    assert endpoint.requests[0].body.get("temperature") == sent


async def test_a_reply_is_the_text_as_it_was_written_with_its_tokens() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(Chat(' Sure! {"kept": ["thé vert"]}\n'))
        completion = await opened.complete([USER], SCHEMA)
    assert completion.text == ' Sure! {"kept": ["thé vert"]}\n'
    assert (completion.prompt_tokens, completion.completion_tokens) == (1, 1)


THOUGHT: Final = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "{}"}]


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ({"choices": [{"message": {"content": "{}"}}]}, None),
        ({"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": None}, None),
        ({"choices": [{"message": {"content": "{}"}}], "usage": {"prompt_tokens": "many"}}, None),
        ({"choices": [{"message": {"content": "{}"}}], "usage": {"prompt_tokens": 7}, "more": 1}, 7),
        ({"choices": [{"message": {"content": THOUGHT}}]}, None),
    ],
)
async def test_replies_of_all_kinds_of_servers_are_read(reply: object, tokens: int | None) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(Raw(json.dumps(reply).encode()))
        completion = await opened.complete([USER], SCHEMA)
    assert (completion.text, completion.prompt_tokens, completion.completion_tokens) == ("{}", tokens, None)


async def test_a_text_that_utf_8_cannot_hold_is_sent_all_the_same() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(FINE)
        await asked(opened, ChatMessage("user", "half a \ud83d pair"))
    assert endpoint.requests[0].body["messages"][0]["content"] == "half a ? pair"


@pytest.mark.parametrize(
    ("refused", "form", "sent", "tries"),
    [
        (["json_schema"], "json_object", {"max_tokens", "temperature"}, 2),
        (["response_format"], "text", {"max_tokens", "temperature"}, 3),
        (["temperature"], "json_schema", {"max_tokens"}, 2),
        (["max_tokens"], "json_schema", {"max_completion_tokens", "temperature"}, 2),
        (["max_tokens", "max_completion_tokens"], "json_schema", {"temperature"}, 3),
        (["max_tokens", "temperature", "json_schema", "json_object"], "text", {"max_completion_tokens"}, 5),
    ],
)
async def test_what_the_endpoint_refuses_is_left_out_and_not_sent_again(
    refused: list[str], form: str, sent: set[str], tries: int
) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, max_retries=0) as opened:
        endpoint.chat.otherwise = Refusing(refused, FINE)
        assert await asked(opened) == FINE.content
        assert len(endpoint.requests) == tries
        await asked(opened)
        await asked(opened)
    assert len(endpoint.requests) == tries + 2
    assert forms(endpoint.requests[-3:]) == [form] * 3
    assert set(endpoint.requests[-1].body) - {"model", "messages", "response_format"} == sent


UNAVAILABLE: Final = {"error": {"message": "This response_format type is unavailable now", "code": "invalid_request"}}
RAW: Final = {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"detail": "no json_schema"}'}}
EXTRA: Final = [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs", "input": TEXT}]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, UNAVAILABLE, id="DeepSeek"),
        pytest.param(400, {"error": "'response_format.type' must be 'text'"}, id="LM Studio"),
        pytest.param(400, {"error": {"message": "model does not support response format `json_schema`"}}, id="Groq"),
        pytest.param(400, {"error": {"message": "No JSON.", "code": "json_validate_failed"}}, id="Groq, of a reply"),
        pytest.param(400, {"error": RAW}, id="OpenRouter"),
        pytest.param(422, {"detail": EXTRA}, id="FastAPI"),
        pytest.param(400, "structured outputs are off", id="a string"),
    ],
)
async def test_refusals_of_a_form_in_the_words_of_many_servers_are_understood(status: int, body: object) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, max_retries=0) as opened:
        endpoint.chat.then(Status(status, body=body), FINE)
        assert await asked(opened) == FINE.content
    assert forms(endpoint.requests) == ["json_schema", "json_object"]


@pytest.mark.parametrize(("refused", "wanted"), [("json_schema", "with nothing else:"), ("response_format", "```json")])
@pytest.mark.parametrize("messages", [(SYSTEM, USER), (USER,)], ids=["with a system message", "without"])
async def test_where_the_schema_cannot_go_along_the_first_message_tells_of_it(
    refused: str, wanted: str, messages: tuple[ChatMessage, ...]
) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.otherwise = Refusing([refused], FINE)
        await asked(opened, *messages)
    first, last = endpoint.requests[0].body["messages"], endpoint.requests[-1].body["messages"]
    assert first == [{"role": one.role, "content": one.content} for one in messages]
    assert [one["role"] for one in last] == ["system", "user"]
    assert last[1] == first[-1]
    assert wanted in last[0]["content"]
    assert json.loads(last[0]["content"].rpartition("\n")[2]) == SCHEMA
    assert last[0]["content"].startswith(SYSTEM.content) == (len(messages) == 2)


async def test_an_endpoint_that_ignores_the_schema_is_told_of_it_in_words_next_time() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(Chat("Alice drinks tea."), FINE)
        assert await asked(opened) == "Alice drinks tea."
        await asked(opened)
    assert forms(endpoint.requests) == ["json_schema", "json_object"]


async def test_a_refusal_that_quotes_the_conversation_changes_nothing_for_good() -> None:
    quoting = Status(400, body={"error": {"message": "response_format, temperature and max_tokens are on my mind"}})
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.otherwise = quoting
        assert "status 400; check llm.model" in await failure(opened)
        assert len(endpoint.requests) <= 6
        endpoint.chat.otherwise = FINE
        await asked(opened)
    assert set(endpoint.requests[-1].body) == {"model", "messages", "response_format", "max_tokens", "temperature"}
    assert forms(endpoint.requests[-1:]) == ["json_schema"]


async def test_what_a_refusal_quotes_as_input_is_not_taken_for_its_words() -> None:
    detail: list[dict[str, Any]] = [
        {"loc": ["body", "seed"], "msg": "wrong", "input": {"temperature": 0, "response_format": {}}}
    ]
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(Status(422, body={"detail": detail}))
        assert "status 422" in await failure(opened)
    assert len(endpoint.requests) == 1


ECHO: Final = {"error": {"message": f"{KEY} is wrong for {TEXT!r}", "code": f"{KEY} {TEXT}", "type": TEXT}}
NO_CHAT: Final = "what it answers is no chat completion; llm.base_url must be an OpenAI-compatible API"
TOO_LONG: Final = "the request is longer than the model takes; lower extraction.chunk_tokens or llm.max_tokens"
FILTERED: Final = "its content filter stopped the request; set another llm.model"


def error(message: str, code: object = None) -> dict[str, Any]:
    return {"error": {"message": f"{message} {TEXT} {KEY}", "code": code}}


def said(body: object) -> Raw:
    """A 200 with that body."""
    return Raw(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reply", "told", "requests"),
    [
        (Status(400, body=ECHO), "status 400; check llm.model, llm.max_tokens and llm.temperature", 1),
        (Status(401, body=ECHO), "status 401; check the key in BOBS_KEY", 1),
        (Status(402, body=ECHO), "status 402; check the plan behind the key in BOBS_KEY", 1),
        (Status(403, body=ECHO), "status 403; check that the key in BOBS_KEY may use llm.model", 1),
        (Status(404, body={"detail": "Not Found"}), "status 404; check llm.model and llm.base_url", 1),
        (Status(404, body=error("model 'm' not found")), "it knows no such model; check llm.model", 1),
        (Status(404, body=error("?", "model_not_found")), "it knows no such model; check llm.model", 1),
        (Status(413, body=ECHO), "status 413; lower extraction.chunk_tokens", 1),
        (Status(418, body=[TEXT]), "status 418; check the server and llm.base_url", 1),
        (Status(400, body=error("", "context_length_exceeded")), TOO_LONG, 1),
        (Status(400, body=error("max_tokens is too large: 40960.")), TOO_LONG, 1),
        (Status(400, body=error("exceeds the available context size")), TOO_LONG, 1),
        (Status(400, body=error("", "content_filter")), FILTERED, 1),
        (Status(429, {"retry-after": "0"}, ECHO), "status 429; wait, or raise llm.max_retries and llm.timeout", 2),
        (Status(429, body=error("", "insufficient_quota")), "no credit left; check the plan behind the key in BOB", 1),
        (Status(500, body=ECHO), "status 500; check the server and llm.base_url", 2),
        (Status(301, {"location": "http://127.0.0.1:9/"}), "it redirects (status 301); set llm.base_url to the fi", 1),
        (Closed(), "the connection broke; check the server and llm.base_url", 2),
        (Truncated(FINE), "the connection broke; check the server and llm.base_url", 2),
        (Raw(b"\x00\xff<html>rubbish"), NO_CHAT, 1),
        (Raw(b""), NO_CHAT, 1),
        (Raw(b"null"), NO_CHAT, 1),
        (Raw(b"{}"), NO_CHAT, 1),
        (said({"choices": []}), NO_CHAT, 1),
        (said({"choices": [{"text": TEXT}]}), NO_CHAT, 1),
        (said({"choices": [{"message": {"content": 7}}]}), NO_CHAT, 1),
        (said(error("Upstream fails", 503)), "status 503; check the server and llm.base_url", 2),
        (said({"choices": [{"finish_reason": "error", **error("no", 402)}]}), "status 402; check the plan", 1),
        (said({"error": f"Context size has been exceeded. {TEXT}"}), TOO_LONG, 1),
        (said({"error": {"message": TEXT}}), "it answers with an error; check the server, llm.base_url and", 1),
        (Chat('{"kept": [', "length"), "the reply was cut off (llm.max_tokens is 4096); raise llm.max_tokens", 1),
        (Chat("", "content_filter"), "its content filter stopped the reply; set another llm.model", 1),
        (Chat("", refusal=f"I will not say that {TEXT}"), "the model refused to reply; set another llm.model", 1),
        (Chat(" \n"), "the reply is empty; set another llm.model, or raise llm.max_tokens", 2),
        (said({"choices": [{"message": {"content": None}}]}), "the reply is empty", 2),
    ],
)
async def test_every_failure_is_one_line_that_names_endpoint_model_and_setting(
    reply: Reply, told: str, requests: int
) -> None:
    settings: dict[str, Any] = {"model": "new\n{section}", "api_key_env": "BOBS_KEY", "max_retries": 1}
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, **settings) as opened:
        endpoint.chat.otherwise = reply
        message = await failure(opened)
    assert message.startswith(f"{endpoint.base_url}, model 'new\\n{{section}}': ")
    assert told in message
    assert len(endpoint.requests) == requests


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_what_may_pass_is_tried_as_often_as_configured(retries: int) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, max_retries=retries) as opened:
        endpoint.chat.then(*[Status(429, {"retry-after": "0.01"})] * retries, FINE)
        assert await asked(opened) == FINE.content
        assert len(endpoint.requests) == retries + 1
        endpoint.chat.then(*[Closed()] * (retries + 1), FINE)
        await failure(opened)
    assert len(endpoint.requests) == 2 * (retries + 1)


async def test_the_time_that_a_server_asks_for_is_waited() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(Status(429, {"retry-after": "0.4"}), FINE)
        start = anyio.current_time()
        await asked(opened)
    assert anyio.current_time() - start >= 0.4


@pytest.mark.parametrize("headers", [{"retry-after": "30"}, {"retry-after": "Sat, 21 Nov 2026 12:00:00 GMT"}])
async def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(headers: dict[str, str]) -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, timeout=20) as opened:
        endpoint.chat.then(Status(429, headers))
        with anyio.fail_after(5):
            assert "status 429" in await failure(opened)
    assert len(endpoint.requests) == 1


async def test_a_slow_server_is_left_when_the_time_is_up() -> None:
    held = Held(FINE)
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, timeout=0.5) as opened:
        endpoint.chat.then(held)
        with anyio.fail_after(5):
            assert "no answer within 0.5 s; check the server, or raise llm.timeout" in await failure(opened)
            await held.abandoned.wait()


async def test_the_time_is_that_of_all_tries_together() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, timeout=0.8, max_retries=9) as opened:
        endpoint.chat.otherwise = Delayed(0.3, Closed())
        with anyio.fail_after(5):
            await failure(opened)
    assert len(endpoint.requests) <= 3


async def test_a_call_that_its_caller_gives_up_lets_go_of_the_server() -> None:
    held = Held(FINE)
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.then(held, FINE)
        async with anyio.create_task_group() as group:
            group.start_soon(asked, opened)
            await held.reached.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(5):
            await held.abandoned.wait()
        assert await asked(opened) == FINE.content


async def test_nobody_listening_is_a_refused_connection() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with model(f"http://127.0.0.1:{reserved.getsockname()[1]}/v1") as opened:
            assert "connection refused; start the server, or change llm.base_url" in await failure(opened)


@pytest.mark.promise("P11")
async def test_without_a_model_nothing_is_sent() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url, model="") as opened:
        with pytest.raises(ModelError, match=r"no chat model is configured; set llm\.model"):
            await asked(opened)
    assert endpoint.requests == []


async def test_without_a_key_openai_is_not_asked_and_the_variable_named() -> None:
    async with model("", key="", api_key_env="BOBS_KEY") as opened:
        message = await failure(opened)
    assert message.startswith(
        "https://api.openai.com/v1, model 'test-model': no key; set the variable BOBS_KEY, or llm."
    )


async def test_a_base_url_that_is_none_is_told_without_repeating_it() -> None:
    async with model("ftp://bob:pass@h/v1") as opened:
        message = await failure(opened)
    assert message.startswith("llm endpoint, model 'test-model': llm.base_url is no http or https address")
    assert "bob" not in message


@pytest.mark.promise("P11")
async def test_the_conversation_does_not_follow_a_redirect() -> None:
    async with scripted_endpoint() as elsewhere, scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.otherwise = Status(307, {"location": f"{elsewhere.base_url}/chat/completions"})
        await failure(opened)
    assert elsewhere.requests == []


async def test_conversation_key_and_password_stay_out_of_the_most_detailed_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_endpoint() as endpoint:
        for address in (endpoint.base_url, endpoint.base_url.replace("//", "//b%C3%B6b:p%40ss@")):
            async with model(address) as opened:
                endpoint.chat.then(Status(400, body={"error": f"no response_format for {TEXT}"}), FINE)
                await asked(opened)
    assert endpoint.requests[-1].headers["authorization"] == "Basic YsO2YjpwQHNz"
    assert f"{endpoint.base_url}/chat/completions" in caplog.text
    for secret in (TEXT, KEY, "%40ss", "p@ss"):
        assert secret not in caplog.text


async def test_it_closes_before_use_and_twice_and_opens_again() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.otherwise = FINE
        await opened.aclose()
        await asked(opened)
        await opened.aclose()
        await opened.aclose()
        assert await asked(opened) == FINE.content


CHILD = """
import sys, threading
import anyio
from mcp_memory.sections import LlmConfig
from mcp_memory.llm.base import ChatMessage
from mcp_memory.llm.openai import OpenAIModel

class Watch:
    def find_spec(self, name, path=None, target=None):
        on_the_loop = threading.current_thread() is threading.main_thread()
        if name == "openai" or (on_the_loop and name.startswith("openai.")):
            print(name, "on the loop" if on_the_loop else "beside")

async def ask():
    model = OpenAIModel(LlmConfig(model="m", base_url=sys.argv[1]))
    await model.aclose()
    print("made")
    print((await model.complete([ChatMessage("user", "tea")], {"type": "object"})).text)
    await model.aclose()

sys.meta_path.insert(0, Watch())
anyio.run(ask)
"""


@pytest.mark.promise("P6")
@pytest.mark.promise("P11")
async def test_the_client_is_loaded_on_first_use_off_the_event_loop_and_takes_no_address_from_the_environment() -> None:
    variables = {"OPENAI_BASE_URL": "http://127.0.0.1:9", "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
    async with scripted_endpoint() as endpoint:
        endpoint.chat.then(FINE)
        command = [sys.executable, "-c", CHILD, endpoint.base_url]
        child = await anyio.run_process(command, env={**os.environ, **variables})
    assert child.stderr == b""
    assert child.stdout.decode().splitlines() == ["made", "openai beside", FINE.content]
    assert not {"openai-organization", "openai-project"} & set(endpoint.requests[0].headers)


async def test_the_scripted_endpoint_computes_its_reply_from_the_request() -> None:
    async with scripted_endpoint() as endpoint, model(endpoint.base_url) as opened:
        endpoint.chat.otherwise = Computed(lambda request: Chat(request.body["messages"][-1]["content"].upper()))
        assert await asked(opened, ChatMessage("user", "green tea")) == "GREEN TEA"


async def test_the_scripted_endpoint_tells_of_a_mistake_in_the_script() -> None:
    async def misuse() -> None:
        async with scripted_endpoint() as endpoint, model(endpoint.base_url, max_retries=0) as opened:
            endpoint.chat.then(Computed(lambda request: Chat(request.body["misspelt"])))
            await failure(opened)

    with pytest.raises(KeyError, match="misspelt"):
        await misuse()


ONE: Final = {"kept": ["tea"]}
J: Final = '{"kept": ["tea"]}'


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(J, id="bare"),
        pytest.param(f"\ufeff \n{J}\n", id="blanks around it"),
        pytest.param('{\n  "kept": [\n    "tea"\n  ]\n}', id="indented"),
        pytest.param(f"```json\n{J}\n```", id="fenced"),
        pytest.param(f"```\n{J}\n```", id="fenced without a language"),
        pytest.param(f"```JSON {J}```", id="fenced in one line"),
        pytest.param(f"```json\n{J}", id="a fence left open"),
        pytest.param(f"Here it is:\n\n{J}\n\nAnything else?", id="prose around it"),
        pytest.param(f"Here {{it}} is [1], [a] and [1 and 2]: {J} :-{{", id="prose with brackets"),
        pytest.param(f"An example is {{}}.\n```json\n{J}\n```", id="a fenced one before others"),
        pytest.param(f"{J}\nAgain:\n{J}", id="twice the same"),
        pytest.param(f'<think>Maybe {{"kept": []}}? Or {{"kept": [</think>\n{J}', id="reasoning"),
        pytest.param(f'Maybe {{"kept": [\n</think>\n```json\n{J}\n```', id="reasoning with its start cut off"),
        pytest.param(f"[THINK]{{[/THINK]{J}", id="reasoning of Mistral"),
        pytest.param(f"<|channel|>analysis<|message|>Hm {{}}<|end|><|channel|>final<|message|>{J}", id="gpt-oss"),
    ],
)
def test_the_json_in_a_reply_is_found(reply: str) -> None:
    assert json_in(reply) == ONE


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("[]", []),
        ("null", None),
        ("42", 42),
        ('The list: [{"op": "add"}]', [{"op": "add"}]),
        ('```json\n{"a": "```js\\nlet b = {}\\n```"}\n```', {"a": "```js\nlet b = {}\n```"}),
        ('{"a": "how </think> ends"}', {"a": "how </think> ends"}),
        ('So: {"a": "how </think> ends"}', {"a": "how </think> ends"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": "{\\"b\\": [1"} ok', {"a": '{"b": [1'}),
        ('{"a": "日本 \\ud83d\\ude00"}.', {"a": "日本 😀"}),
    ],
)
def test_json_is_found_whatever_it_holds(reply: str, value: object) -> None:
    assert json_in(reply) == value


NONE: Final = "holds no JSON object"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("", NONE),
        ("I kept nothing.", NONE),
        ("I kept {nothing} [at all] :-[", NONE),
        ('<think>{"kept": []}</think> Nothing to keep.', NONE),
        ('Then {"kept": []}</think> Nothing to keep.', NONE),
        ('<think>Maybe {"kept": []}', "ends within its reasoning"),
        ('{"kept": ["tea", "cof', "it is cut off"),
        ('{"kept": [{"op": "add"}, {"op": "add"', "it is cut off"),
        ('{"kept": [{"op": "add"}', "it is cut off"),
        ('```json\n{"kept": [{"op": "add"},\n```', "cannot be read: Expecting value at character"),
        ('{"kept": [{"op": "add"} {"op": "add"}]}', "cannot be read: Expecting ',' delimiter at character"),
        ("{'kept': []}", "cannot be read: Expecting property name"),
        ("Fine: {kept: []}", "cannot be read: Expecting property name"),
        ('Fine: {"kept": [],}', "cannot be read: "),
        ('[{"op": "add"},]', "cannot be read: "),
        ('{"op": "add"}\n{"op": "delete"}', "holds 2 JSON values; one is wanted"),
        ('{"a": 1} {"a": true}', "holds 2 JSON values; one is wanted"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "nests too deeply"),
        ('{"a":' * 100_000, "nests too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "4300"),
    ],
)
def test_a_reply_without_one_whole_value_is_refused_without_quoting_it(reply: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as raised:
        json_in(reply)
    assert not {"kept", "tea", "op", "add"} & set(re.findall(r"\w+", str(raised.value)))
