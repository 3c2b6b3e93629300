"""A chat model behind any endpoint that speaks OpenAI's chat API: OpenAI, Ollama, LM Studio, vLLM, OpenRouter and more.

Nothing is imported and nothing is sent before the first call. Whatever goes wrong becomes one ModelError, which repeats
nothing of the key, of the conversation, or of what the server wrote: that may quote both.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from mcp_memory.endpoint import API, Endpoint, Fault, sendable
from mcp_memory.errors import ModelError
from mcp_memory.llm.base import ChatMessage, Completion, json_in
from mcp_memory.sections import LlmConfig
from mcp_memory.text.cleanup import lone_surrogate
from mcp_memory.text.patterns import Pattern

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam
    from openai.types.chat.completion_create_params import ResponseFormat

_ADVICE: Final[Mapping[int, str]] = {
    400: "check llm.model, llm.max_tokens and llm.temperature",
    402: "check the plan behind the key in {variable}",
    413: "lower extraction.chunk_tokens",
    422: "check llm.model, llm.max_tokens and llm.temperature",
    429: "wait, or raise llm.max_retries and llm.timeout",
}
_OF_THE_REQUEST: Final = frozenset({400, 404, 413, 422})
"""What endpoints answer where the fault lies in what was asked; some say 200, and tell of an error in the body."""

_FORMAT: Final = Pattern(
    r"response.?format|json.?(schema|object|mode|validate)|structured.?output|guided|grammar", re.IGNORECASE
)
_TOO_LONG: Final = Pattern(r"too (large|long)|context.?(length|size|window|overflow)", re.IGNORECASE)
_FILTERED: Final = Pattern(r"content.?(filter|policy|management)|data_inspection_failed", re.IGNORECASE)
_MODEL: Final = Pattern(r"\bmodels?\b|model_not_found", re.IGNORECASE)
_QUOTED: Final = frozenset({"input", "failed_generation", "messages"})
"""Where errors repeat the conversation."""

_WANTED: Final = "Reply with one JSON object that satisfies this JSON schema, and with nothing else:"
_FENCED: Final = "Reply with one fenced block (```json ... ```) that holds one JSON object of this JSON schema:"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Dialect:
    """As much of the API as an endpoint is known, or hoped, to take."""

    form: Literal["json_schema", "json_object", "text"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
    temperature: bool = True

    def plainer(self) -> "_Dialect":
        """The same with one demand less on the form of the reply."""
        return replace(self, form="json_object" if self.form == "json_schema" else "text")

    def without(self, refused: str) -> "_Dialect | None":
        """What is left when an endpoint names something of it in a refusal; None where it names nothing."""
        if self.temperature and "temperature" in refused:
            return replace(self, temperature=False)
        if self.limit and self.limit in refused:
            return replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else "")
        return self.plainer() if self.form != "text" and _FORMAT.search(refused) else None


class OpenAIModel:
    """One model of one endpoint. What the endpoint does not take is left out of every later request of this process."""

    def __init__(self, config: LlmConfig) -> None:
        self.name = config.model
        self._config = config
        self._endpoint = Endpoint("llm", config, _ADVICE)
        self._dialect = _Dialect(temperature=config.temperature is not None)

    async def complete(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any]) -> Completion:
        """The reply to `messages`, within `timeout` seconds with all its tries.

        `schema` goes along as structured output where the endpoint has that, else as words in the first system message.

        Raises:
            ModelError: no whole reply came in time; the message is one line that names the setting to change.
        """
        if not self.name:
            raise ModelError("no chat model is configured; set llm.model")
        send = partial(self._completion, messages, schema)
        tries = partial(self._endpoint.answer, send, self._config.max_retries)
        try:
            return await self._endpoint.within(self._config.timeout, tries)
        except Fault as error:
            message = self._endpoint.message(self.name, error)
        raise ModelError(message)

    async def aclose(self) -> None:
        """Close the connections; a later call would open new ones."""
        await self._endpoint.aclose()

    async def _completion(
        self, messages: Sequence[ChatMessage], schema: Mapping[str, Any], client: "AsyncOpenAI"
    ) -> Completion:
        """The reply in the richest dialect that the endpoint takes, which is kept for the calls to come."""
        from openai import APIStatusError

        dialect = self._dialect
        while True:
            try:
                content = await self._request(client, messages, schema, dialect)
                break
            except APIStatusError as error:
                dialect = _adapted(dialect, error)
        self._learn(dialect)
        completion = self._read(content)
        if dialect.form == "json_schema" and not _holds_json(completion.text):
            self._learn(dialect.plainer())  # the endpoint ignores the schema: words may do better
        return completion

    async def _request(
        self, client: "AsyncOpenAI", messages: Sequence[ChatMessage], schema: Mapping[str, Any], dialect: _Dialect
    ) -> bytes:
        from openai import omit

        limit = self._config.max_tokens
        answer = await client.chat.completions.with_raw_response.create(
            model=self.name,
            messages=_worded(messages, schema, dialect),
            response_format=_format(schema, dialect) or omit,
            max_tokens=limit if dialect.limit == "max_tokens" else omit,
            max_completion_tokens=limit if dialect.limit == "max_completion_tokens" else omit,
            temperature=self._config.temperature if dialect.temperature else omit,
        )
        return answer.content

    def _learn(self, dialect: _Dialect) -> None:
        if dialect != self._dialect:
            self._dialect = dialect
            _log.info("chat model %r is asked in another way from now on: %s", self.name, dialect)

    def _read(self, content: bytes) -> Completion:
        try:
            reply = msgspec.convert(json.loads(content), _Reply)  # msgspec reads no NaN, which some servers send
        except (ValueError, RecursionError):
            raise Fault("what it answers is no chat completion", API) from None
        choice = reply.choices[0] if reply.choices else _Choice()
        if (error := reply.error or choice.error) is not None:
            raise self._reported(error)
        if choice.message is None:
            raise Fault("what it answers is no chat completion", API)
        self._check_end(choice.finish_reason)
        if choice.message.refusal:
            raise Fault("the model refused to reply", "set another llm.model")
        text = choice.message.text()
        if not text.strip():
            raise Fault("the reply is empty", "set another llm.model, or raise llm.max_tokens", retry=0)
        if lone_surrogate(text):
            raise Fault("what it answers is no Unicode", API)
        return Completion(text, _count(reply.usage, "prompt_tokens"), _count(reply.usage, "completion_tokens"))

    def _check_end(self, reason: str | None) -> None:
        match reason:
            case "length" | "max_tokens":
                what = f"the reply was cut off (llm.max_tokens is {self._config.max_tokens})"
                raise Fault(what, "raise llm.max_tokens, or lower extraction.chunk_tokens")
            case "content_filter":
                raise Fault("its content filter stopped the reply", "set another llm.model")
            case _:
                pass

    def _reported(self, error: object) -> Fault:
        """The fault that the body of a 200 tells of."""
        code = _named(error, "code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 200
        if fault := _known(status, _said(error)):
            return fault
        if status == 200:
            return Fault("it answers with an error", "check the server, llm.base_url and llm.model")
        return self._endpoint.refusal(status, {})


class _Part(msgspec.Struct):
    """Some endpoints divide the content, and put the model's reasoning in parts of another type."""

    type: str = ""
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None

    def text(self) -> str:
        """What the model wrote."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content if part.type == "text")
        return self.content or ""


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    error: Any = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


def _adapted(dialect: _Dialect, error: "APIStatusError") -> _Dialect:
    """The dialect to try after a refusal.

    Raises:
        Fault: the refusal says what else is wrong.
        APIStatusError: it says nothing that helps.
    """
    said = _said(error.body)
    if fault := _known(error.status_code, said):
        raise fault
    simpler = dialect.without(said) if error.status_code in {400, 422} else None
    if simpler is None:
        raise error
    return simpler


def _known(status: int, said: str) -> Fault | None:
    """The fault that an error's words tell more exactly than its status."""
    if status not in _OF_THE_REQUEST and status != 200:
        return None
    if _TOO_LONG.search(said):
        what = "the request is longer than the model takes"
        return Fault(what, "lower extraction.chunk_tokens or llm.max_tokens, or give the model a longer context")
    if _FILTERED.search(said):
        return Fault("its content filter stopped the request", "set another llm.model")
    if status == 404 and _MODEL.search(said):
        return Fault("it knows no such model", "check llm.model")
    return None


def _said(value: object) -> str:
    """The words of an error, without what it quotes of the request."""
    match value:
        case dict():
            inner = cast("dict[str, object]", value)
            return " ".join(_said(one) for name, one in inner.items() if name not in _QUOTED)
        case list():
            return " ".join(_said(one) for one in cast("list[object]", value))
        case _:
            return str(value)


def _worded(
    messages: Sequence[ChatMessage], schema: Mapping[str, Any], dialect: _Dialect
) -> "list[ChatCompletionMessageParam]":
    """`messages` as they are sent; with the schema in words, where it does not go beside them.

    It joins the first system message, because there are models that take no second one.
    """
    given = list(messages)
    if dialect.form != "json_schema":
        wanted = _WANTED if dialect.form == "json_object" else _FENCED
        worded = f"{wanted}\n{json.dumps(schema, ensure_ascii=False, separators=(',', ':'))}"
        if given and given[0].role == "system":
            given[0] = replace(given[0], content=f"{given[0].content}\n\n{worded}")
        else:
            given.insert(0, ChatMessage("system", worded))
    sent = [{"role": one.role, "content": sendable(one.content)} for one in given]
    return cast("list[ChatCompletionMessageParam]", sent)


def _format(schema: Mapping[str, Any], dialect: _Dialect) -> "ResponseFormat | None":
    match dialect.form:
        case "json_schema":
            return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)}}
        case "json_object":
            return {"type": "json_object"}
        case "text":
            return None


def _holds_json(text: str) -> bool:
    try:
        json_in(text)
    except ValueError:
        return False
    return True


def _count(usage: object, name: str) -> int | None:
    count = _named(usage, name)
    return count if isinstance(count, int) else None


def _named(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None
