"""What all endpoints that speak OpenAI's API have in common: address, key, client, tries, and the wording of failures.

Nothing is imported and nothing is sent before the first request. Whatever goes wrong becomes one Fault, which repeats
nothing of the key, of what was sent, or of what the server wrote: that may quote both.
"""

import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import unquote

import anyio

from mcp_memory.sections import EndpointConfig
from mcp_memory.text.addresses import Address, parse_address
from mcp_memory.text.patterns import Pattern

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, OpenAIError

API: Final = "{section}.base_url must be an OpenAI-compatible API (it often ends in /v1), {section}.model a model of it"
"""The advice where an answer is not what this API would give."""

_OPENAI: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"
"""Sent where no key is configured: servers on one's own machine may want the header, but do not look into it."""

_RETRY_DELAY: Final = 0.25
_LONGER: Final = 0.5
_NUMBER: Final = Pattern(r"[0-9]{1,9}(\.[0-9]{1,9})?")

_STATUS: Final[Mapping[int, str]] = {
    401: "check the key in {variable}",
    403: "check that the key in {variable} may use {section}.model",
    404: "check {section}.model and {section}.base_url",
}
_OF_WHAT_WAS_SENT: Final = frozenset({400, 413, 422})
"""Refusals of this request, which say nothing about the next."""
_WORTH_A_RETRY: Final = frozenset({408, 409, 429})
"""And every 5xx. Source: the retry rules of the openai package."""

_Result = TypeVar("_Result")


class Fault(Exception):
    """What went wrong, the next step, and what follows from it. Both texts may hold {section} and {variable}.

    `retry`: seconds after which one more try makes sense; None: it does not.
    `rest`: seconds to leave the endpoint alone for at least; None: the next request may well succeed.
    """

    def __init__(self, what: str, advice: str, *, retry: float | None = None, rest: float | None = 0.0) -> None:
        super().__init__(what)
        self.what, self.advice, self.retry, self.rest = what, advice, retry, rest


class Endpoint:
    """One endpoint, as the settings below `section` describe it; `advice` is what to do about a status."""

    def __init__(self, section: str, config: EndpointConfig, advice: Mapping[int, str]) -> None:
        self._section = section
        self._config = config
        self._advice = {**_STATUS, **advice}
        self._address = parse_address(config.base_url or _OPENAI)
        self._lock = anyio.Lock()
        self._client: AsyncOpenAI | None = None

    async def within(self, seconds: float, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """The result of `work`, which has that much time for everything.

        Raises:
            Fault: the time is up, or whatever `work` failed with.
        """
        try:
            with anyio.fail_after(seconds):
                return await work()
        except TimeoutError:
            what = f"no answer within {seconds:g} s"
            raise Fault(what, "check the server, or raise {section}.timeout") from None

    async def answer(self, send: Callable[["AsyncOpenAI"], Awaitable[_Result]], retries: int) -> _Result:
        """What `send` returns, after at most `retries` more tries where they may help and time allows.

        Raises:
            Fault: that of the last try.
        """
        client = await self._opened()
        from openai import OpenAIError

        for number in range(retries + 1):
            try:
                return await send(client)
            except OpenAIError as error:
                fault = self._fault(error)
            except Fault as error:
                fault = error
            # What passes by itself after one short pause does so mostly; what does not needs longer ones.
            pause = (fault.retry or 0) + _LONGER * (2**number - 1)
            late = anyio.current_time() + pause >= anyio.current_effective_deadline()
            if fault.retry is None or late or number == retries:
                raise fault
            await anyio.sleep(pause)
        raise AssertionError

    def message(self, model: str, fault: Fault) -> str:
        """The one line that tells of `fault`."""
        endpoint = str(self._address) if self._address else f"{self._section} endpoint"
        variable = self._config.api_key_env or f"{self._section}.api_key_env"
        told = f"{fault.what}; {fault.advice}".replace("{section}", self._section).replace("{variable}", variable)
        return " ".join(f"{endpoint}, model {model!r}: {told}".split())

    def refusal(self, status: int, headers: Mapping[str, str]) -> Fault:
        """The fault that a status stands for, by itself."""
        if status < 400:
            return Fault(f"it redirects (status {status})", "set {section}.base_url to the final address")
        asked = _retry_after(headers)
        again = status in _WORTH_A_RETRY or status >= 500
        return Fault(
            f"status {status}",
            self._advice.get(status, "check the server and {section}.base_url"),
            retry=(_RETRY_DELAY if asked is None else asked) if again else None,
            rest=None if status in _OF_WHAT_WAS_SENT else asked or 0.0,
        )

    async def aclose(self) -> None:
        """Close the connections; a later request would open new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _opened(self) -> "AsyncOpenAI":
        async with self._lock:
            if self._client is None:
                address, key = self._where_and_key()
                # Abandoned on a timeout: the import goes on, and the next call finds it done.
                opening = partial(_open, address, key)
                self._client = await anyio.to_thread.run_sync(opening, abandon_on_cancel=True)
            return self._client

    def _where_and_key(self) -> tuple[Address, str]:
        if self._address is None:
            what = "{section}.base_url is no http or https address without a query"
            raise Fault(what, "set it to one such as http://127.0.0.1:11434/v1")
        key = self._config.api_key.reveal().strip()
        if not key and not self._config.base_url:
            raise Fault("no key", "set the variable {variable}, or {section}.base_url to a server that needs none")
        if not (key.isascii() and key.isprintable()):
            raise Fault("the key has characters that no HTTP header carries", "check the key in {variable}")
        return self._address, key or _NO_KEY

    def _fault(self, error: "OpenAIError") -> Fault:
        """The one place where what the openai package raises is told in our words."""
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        for cause in _causes(error):
            match cause:
                case ConnectionRefusedError():
                    return Fault("connection refused", "start the server, or change {section}.base_url")
                case socket.gaierror():
                    return Fault("its name is not known to the network", "check {section}.base_url and the network")
                case ssl.SSLError():
                    advice = "check https in {section}.base_url, or set SSL_CERT_FILE"
                    return Fault("no trusted TLS connection", advice)
                case _:
                    pass
        return Fault("the connection broke", "check the server and {section}.base_url", retry=0)

    def _status(self, error: "APIStatusError") -> Fault:
        if error.code == "insufficient_quota":
            return Fault("the account has no credit left", "check the plan behind the key in {variable}")
        return self.refusal(error.status_code, error.response.headers)


def sendable(text: str) -> str:
    """`text` as UTF-8 can carry it, which has no lone surrogates; a text with one is still worth its answer."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _open(address: Address, key: str) -> "AsyncOpenAI":
    """A client that sends nothing but what it is told to. On first use it takes a second or more: in a thread, then."""
    try:
        import openai

        log = logging.getLogger("openai")
        if log.level == logging.NOTSET:
            log.setLevel(logging.INFO)  # below that it writes out whole requests, texts included
        transport = openai.DefaultAsyncHttpxClient(
            auth=_password(address),
            follow_redirects=False,  # one would take texts to an address that nobody configured
            timeout=None,
            # Reading whom to trust takes 60 ms; plain http needs a context that trusts nobody.
            verify=True if address.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
    except (ImportError, OSError, ValueError) as error:
        what = f"no client could be made ({type(error).__name__})"
        raise Fault(what, "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE in the environment") from error
    client = openai.AsyncOpenAI(api_key=key, base_url=str(address), max_retries=0, timeout=None, http_client=transport)
    client.organization = client.project = None  # else taken from variables, whatever the endpoint
    _ = client.embeddings.with_raw_response, client.chat.completions  # loads the package's larger half
    return client


def _password(address: Address) -> tuple[str, str] | None:
    """The name and password in an address, apart from it: requests are logged with their address."""
    if address.username is None and address.password is None:
        return None
    return unquote(address.username or ""), unquote(address.password or "")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to be left alone; None where it asks nothing, infinite where it names a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        given = headers.get(name, "").strip()
        if given:
            return float(given) / unit if _NUMBER.fullmatch(given) else math.inf
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What `error` was raised from, and so on; of the addresses of a name that all failed, each."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
