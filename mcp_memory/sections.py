"""The sections of the configuration: frozen, extra keys forbidden, every setting with its default and its meaning."""

import difflib
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from mcp_memory import guard
from mcp_memory.clock import DAY
from mcp_memory.errors import InvalidInput
from mcp_memory.models import Value
from mcp_memory.text import LANGUAGES, parse_duration


class StoreConfig(Value):
    """How the database file is used."""

    lock_timeout: float = Field(default=10.0, gt=0, le=600, description="Seconds a write may wait for other processes.")


class BackupConfig(Value):
    """When the file is backed up by itself. Backups that were asked for are never removed."""

    every: str = Field(
        default="1d", description='The least time between two automatic ones: 12h, 1d, 2w ...; "": none are made.'
    )
    keep: int = Field(default=3, ge=1, le=1000, description="How many automatic ones are kept.")

    @field_validator("every")
    @classmethod
    def _duration(cls, given: str) -> str:
        if given and not parse_duration(given):
            raise ValueError(f'{given!r} is no time such as 12h, 1d or 2w; "" makes no automatic backups')
        return given

    def interval(self) -> int | None:
        """`every` in microseconds; None where none are made."""
        return parse_duration(self.every) if self.every else None


class SearchConfig(Value):
    """How memories are found."""

    min_score: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Nothing is relevant if no hit has this score; hits below half of it are left out.",
    )
    languages: tuple[str, ...] = Field(
        default=("english",), description="Languages whose word forms are folded; belongs to the file, see reindex."
    )
    cache_mb: int = Field(
        default=256, ge=1, le=65_536, description="Memory for the search caches of all users, in MB of 2**20 bytes."
    )

    @field_validator("languages")
    @classmethod
    def _languages(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("name at least one language")
        for name in names:
            if name not in LANGUAGES:
                raise ValueError(f"no language {name!r}{nearest(name, list(LANGUAGES))}")
        return tuple(dict.fromkeys(names))


class SecretsConfig(Value):
    """What is done with a password, key, token, card number or IBAN in what is to be stored."""

    action: guard.SecretAction = Field(
        default="refuse",
        description='"refuse": an error; "redact": its kind in its place; "allow": stored as it is.',
    )


class EndpointConfig(Value):
    """An endpoint that speaks OpenAI's API."""

    model: str = Field(default="", description="Name of the endpoint's model.")
    base_url: str = Field(default="", description="The endpoint; empty: OpenAI's own.")
    api_key_env: str = Field(default="OPENAI_API_KEY", description="The variable that holds the endpoint's key.")
    api_key: SecretStr = Field(default=SecretStr(""), exclude=True, description="From that variable; no setting.")


class EmbeddingConfig(EndpointConfig):
    """What makes the vectors of the semantic arm. The model belongs to the file; see reindex."""

    provider: Literal["builtin", "openai", "none"] = Field(
        default="builtin",
        description='"builtin": the table in the package; "openai": any endpoint that speaks its API; "none".',
    )
    dimensions: int = Field(default=0, ge=0, le=8192, description="Asked of the model; 0: its own.")
    batch: int = Field(default=100, ge=1, le=2048, description="Texts sent in one request.")
    timeout: float = Field(default=5.0, gt=0, le=600, description="Seconds a search or a write waits for it.")

    @model_validator(mode="after")
    def _model_named(self) -> Self:
        if self.provider == "openai" and not self.model:
            raise ValueError("embedding.model must name the endpoint's model")
        return self


class LlmConfig(EndpointConfig):
    """The chat model that decides what becomes a memory. Without `model` nothing is ever sent."""

    timeout: float = Field(default=60.0, gt=0, le=3600, description="Seconds one reply may take, tries included.")
    max_retries: int = Field(default=2, ge=0, le=10, description="Tries after a failure that may pass by itself.")
    max_tokens: int = Field(default=4096, ge=16, le=1_000_000, description="Length of a reply, reasoning included.")
    temperature: float | None = Field(
        default=0.0, ge=0, le=2, description='Chance in the wording; "": none is sent, the model keeps its own.'
    )

    @field_validator("temperature", mode="before")
    @classmethod
    def _none_sent(cls, given: object) -> object:
        return None if given == "" else given


class ExtractionConfig(Value):
    """How memories are made out of conversations."""

    instructions: tuple[str, ...] = Field(default=(), description="What to remember and what to ignore, in sentences.")
    topics: tuple[str, ...] = Field(default=(), description="Topics to prefer for what is remembered.")
    max_neighbours: int = Field(default=20, ge=1, le=100, description="Known memories a decision has in view.")
    chunk_tokens: int = Field(
        default=3000, ge=600, le=100_000, description="Length at which a conversation is divided, in tokens."
    )
    mode: Literal["agentic", "always"] = Field(
        default="agentic", description='"agentic": the agent decides when; "always": after each exchange.'
    )

    @field_validator("instructions")
    @classmethod
    def _sentences(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.strip() for one in given if one.strip()))

    @field_validator("topics")
    @classmethod
    def _topics(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(topic for one in given if one.strip() for topic in guard.topics([one])))
        except InvalidInput as error:
            raise ValueError(str(error)) from error


class ProfileConfig(Value):
    """The digest of a user's memories that goes into a prompt."""

    max_tokens: int = Field(default=1000, ge=100, le=100_000, description="What a profile takes at most, in tokens.")
    in_instructions: bool = Field(
        default=False, description="Whether a short one, of 1 KB at most, stands in the server's instructions."
    )


class ApprovalConfig(Value):
    """Which new memories wait until a person accepts them. What a person writes at first hand never does."""

    mode: Literal["off", "extracted", "all"] = Field(
        default="off", description='"extracted": what is made out of conversations waits; "all": what is added too.'
    )
    expire_days: int = Field(
        default=30, ge=0, le=36_500, description="Days after which what nobody decided about goes; 0: never."
    )

    def gone(self, now: int) -> int:
        """The moment, in microseconds: what was proposed then or before waits no longer at `now`."""
        return now - self.expire_days * DAY if self.expire_days else -1


class RetentionConfig(Value):
    """How long the past is kept. What expires is swept in any case."""

    revisions_days: int = Field(
        default=0, ge=0, le=36_500, description="Days a version is kept after another replaced it; 0: for ever."
    )
    deleted_days: int = Field(
        default=0, ge=0, le=36_500, description="Days a memory can be brought back once it is deleted; 0: for ever."
    )


class EncryptionConfig(Value):
    """Where the key of an encrypted file is; with none of these the file is not encrypted."""

    key_env: str = Field(default="", description="The variable that holds the key.")
    key_command: str = Field(default="", description="A command line, run without a shell, that prints the key.")
    keyring: str = Field(default="", description="The key's entry in the system's keyring: service/user.")
    key: SecretStr = Field(default=SecretStr(""), exclude=True, description="From that variable; no setting.")

    @field_validator("keyring")
    @classmethod
    def _entry(cls, entry: str) -> str:
        service, _, user = entry.partition("/")
        if entry and not (service and user):
            raise ValueError(f"{entry!r} is no entry of a keyring; write it as service/user, such as mcp-memory/alice")
        return entry

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(map(bool, (self.key_env, self.key_command, self.keyring))) > 1:
            raise ValueError("encryption takes one of key_env, key_command and keyring")
        return self


def nearest(name: str, known: Sequence[str]) -> str:
    """How an error about an unknown name goes on: the one that was probably meant, or else all there are."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
