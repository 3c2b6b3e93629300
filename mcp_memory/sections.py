"""The sections of the configuration: frozen, extra keys forbidden, every setting with its default and its meaning."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from mcp_memory import guard
from mcp_memory.clock import DAY
from mcp_memory.errors import InvalidInput
from mcp_memory.text import LANGUAGES, parse_duration
from mcp_memory.values import Value


class Unusable(ValueError):
    """A value that a setting cannot have. `setting` is its name in its section; empty: several do not go together."""

    def __init__(self, setting: str, told: str) -> None:
        super().__init__(told)
        self.setting = setting


class Secret:
    """A text that no message, log or traceback shows."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')" if self._text else "Secret('')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


NO_SECRET: Final = Secret("")


class StoreConfig(Value):
    """How the database file is used."""

    lock_timeout: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """Seconds a write may wait for other processes."""


class BackupConfig(Value):
    """When the file is backed up by itself. Backups that were asked for are never removed."""

    every: str = "1d"
    """The least time between two automatic ones: 12h, 1d, 2w ...; "": none are made."""
    keep: Annotated[int, Meta(ge=1, le=1000)] = 3
    """How many automatic ones are kept."""

    def __post_init__(self) -> None:
        if self.every and not parse_duration(self.every):
            raise Unusable("every", f'{self.every!r} is no time such as 12h, 1d or 2w; "" makes no automatic backups')

    def interval(self) -> int | None:
        """`every` in microseconds; None where none are made."""
        return parse_duration(self.every) if self.every else None


class SearchConfig(Value):
    """How memories are found."""

    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.25
    """Nothing is relevant if no hit has this score; hits below half of it are left out."""
    languages: tuple[str, ...] = ("english",)
    """Languages whose word forms are folded; belongs to the file, see reindex."""
    cache_mb: Annotated[int, Meta(ge=1, le=65_536)] = 256
    """Memory for the search caches of all users, in MB of 2**20 bytes."""

    def __post_init__(self) -> None:
        if not self.languages:
            raise Unusable("languages", "name at least one language")
        for name in self.languages:
            if name not in LANGUAGES:
                raise Unusable("languages", f"no language {name!r}{nearest(name, list(LANGUAGES))}")
        force_setattr(self, "languages", tuple(dict.fromkeys(self.languages)))


class SecretsConfig(Value):
    """What is done with a password, key, token, card number or IBAN in what is to be stored."""

    action: guard.SecretAction = "refuse"
    """"refuse": an error; "redact": its kind in its place; "allow": stored as it is."""


class EndpointConfig(Value):
    """An endpoint that speaks OpenAI's API."""

    model: str = ""
    """Name of the endpoint's model."""
    base_url: str = ""
    """The endpoint; empty: OpenAI's own."""
    api_key_env: str = "OPENAI_API_KEY"
    """The variable that holds the endpoint's key."""
    api_key: Secret = NO_SECRET
    """From that variable; no setting."""


class EmbeddingConfig(EndpointConfig):
    """What makes the vectors of the semantic arm. The model belongs to the file; see reindex."""

    provider: Literal["builtin", "openai", "none"] = "builtin"
    """"builtin": the table in the package; "openai": any endpoint that speaks its API; "none"."""
    dimensions: Annotated[int, Meta(ge=0, le=8192)] = 0
    """Asked of the model; 0: its own."""
    batch: Annotated[int, Meta(ge=1, le=2048)] = 100
    """Texts sent in one request."""
    timeout: Annotated[float, Meta(gt=0, le=600)] = 5.0
    """Seconds a search or a write waits for it."""

    def __post_init__(self) -> None:
        if self.provider == "openai" and not self.model:
            raise Unusable("", "embedding.model must name the endpoint's model")


class LlmConfig(EndpointConfig):
    """The chat model that decides what becomes a memory. Without `model` nothing is ever sent."""

    timeout: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """Seconds one reply may take, tries included."""
    max_retries: Annotated[int, Meta(ge=0, le=10)] = 2
    """Tries after a failure that may pass by itself."""
    max_tokens: Annotated[int, Meta(ge=16, le=1_000_000)] = 4096
    """Length of a reply, reasoning included."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = 0.0
    """Chance in the wording; "": none is sent, the model keeps its own."""


class ExtractionConfig(Value):
    """How memories are made out of conversations."""

    instructions: tuple[str, ...] = ()
    """What to remember and what to ignore, in sentences."""
    topics: tuple[str, ...] = ()
    """Topics to prefer for what is remembered."""
    max_neighbours: Annotated[int, Meta(ge=1, le=100)] = 20
    """Known memories a decision has in view."""
    chunk_tokens: Annotated[int, Meta(ge=600, le=100_000)] = 3000
    """Length at which a conversation is divided, in tokens."""
    mode: Literal["agentic", "always"] = "agentic"
    """"agentic": the agent decides when; "always": after each exchange."""

    def __post_init__(self) -> None:
        sentences = dict.fromkeys(one.strip() for one in self.instructions if one.strip())
        try:
            topics = dict.fromkeys(topic for one in self.topics if one.strip() for topic in guard.topics([one]))
        except InvalidInput as error:
            raise Unusable("topics", str(error)) from error
        force_setattr(self, "instructions", tuple(sentences))
        force_setattr(self, "topics", tuple(topics))


class ProfileConfig(Value):
    """The digest of a user's memories that goes into a prompt."""

    max_tokens: Annotated[int, Meta(ge=100, le=100_000)] = 1000
    """What a profile takes at most, in tokens."""
    in_instructions: bool = False
    """Whether a short one, of 1 KB at most, stands in the server's instructions."""


class ApprovalConfig(Value):
    """Which new memories wait until a person accepts them. What a person writes at first hand never does."""

    mode: Literal["off", "extracted", "all"] = "off"
    """"extracted": what is made out of conversations waits; "all": what is added too."""
    expire_days: Annotated[int, Meta(ge=0, le=36_500)] = 30
    """Days after which what nobody decided about goes; 0: never."""

    def gone(self, now: int) -> int:
        """The moment, in microseconds: what was proposed then or before waits no longer at `now`."""
        return now - self.expire_days * DAY if self.expire_days else -1


class RetentionConfig(Value):
    """How long the past is kept. What expires is swept in any case."""

    revisions_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Days a version is kept after another replaced it; 0: for ever."""
    deleted_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Days a memory can be brought back once it is deleted; 0: for ever."""


class EncryptionConfig(Value):
    """Where the key of an encrypted file is; with none of these the file is not encrypted."""

    key_env: str = ""
    """The variable that holds the key."""
    key_command: str = ""
    """A command line, run without a shell, that prints the key."""
    keyring: str = ""
    """The key's entry in the system's keyring: service/user."""
    key: Secret = NO_SECRET
    """From that variable; no setting."""

    def __post_init__(self) -> None:
        service, _, user = self.keyring.partition("/")
        if self.keyring and not (service and user):
            told = "is no entry of a keyring; write it as service/user, such as mcp-memory/alice"
            raise Unusable("keyring", f"{self.keyring!r} {told}")
        if sum(map(bool, (self.key_env, self.key_command, self.keyring))) > 1:
            raise Unusable("", "encryption takes one of key_env, key_command and keyring")


def nearest(name: str, known: Sequence[str]) -> str:
    """How an error about an unknown name goes on: the one that was probably meant, or else all there are."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
