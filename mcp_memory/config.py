"""Settings, read once: the command line wins over the environment, that over the file, the file over the defaults.

The only reader of the environment and of the configuration file.
"""

import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfoNotFoundError

import platformdirs
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import Url

from mcp_memory import clock, guard
from mcp_memory.errors import ConfigError, InvalidInput
from mcp_memory.models import Value
from mcp_memory.sections import (
    ApprovalConfig,
    BackupConfig,
    EmbeddingConfig,
    EncryptionConfig,
    EndpointConfig,
    ExtractionConfig,
    LlmConfig,
    ProfileConfig,
    RetentionConfig,
    SearchConfig,
    SecretsConfig,
    StoreConfig,
    nearest,
)

PREFIX: Final = "MCP_MEMORY_"
APP_NAME: Final = "mcp-memory"

CORE: Final = (
    "add_memory",
    "search_memories",
    "list_memories",
    "get_memory",
    "update_memory",
    "delete_memory",
    "extract_memories",
    "undo",
)
MANAGE: Final = ("list_changes", "clear_memories", "optimize_memories", "show_memories")
TOOL_PROFILES: Final[Mapping[str, tuple[str, ...]]] = {"core": CORE, "manage": MANAGE}
"""Named sets of tools that an operator turns on."""

_LISTS: Final = {"tools", "search.languages", "extraction.instructions", "extraction.topics"}
"""Settings that an environment variable gives with commas."""

_NEVER_EMPTY: Final = {"user", "tools"}
"""Settings without an empty value, which clients ask for in a form and hand on empty where a person left it so."""

_log = logging.getLogger(__name__)


class Config(Value):
    """Every setting, checked. `database` is empty for the platform's own folder."""

    user: str = Field(default="default", description="Whose memories these are, with identity = fixed.")
    identity: Literal["fixed", "argument"] = Field(
        default="fixed", description='"fixed": one user, named at launch; "argument": every tool takes a user_id.'
    )
    agent: str = Field(default="", description="Name of the agent, recorded on what it writes.")
    team: str = Field(default="", description="Name of the agent's team, recorded on what it writes.")
    database: str = Field(default="", description="The SQLite file; empty: memory.db in the platform's data folder.")
    ephemeral: bool = Field(default=False, description="Keep memories in this process only, and no file at all.")
    tools: tuple[str, ...] = Field(
        default=("core",), description="Tool profiles and single tools; a minus sign takes one away."
    )
    timezone: str = Field(
        default="", description="IANA zone for dates shown and times without an offset; empty: the system's."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="What is written to stderr."
    )
    store: StoreConfig = StoreConfig()
    backup: BackupConfig = BackupConfig()
    search: SearchConfig = SearchConfig()
    secrets: SecretsConfig = SecretsConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    llm: LlmConfig = LlmConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    profile: ProfileConfig = ProfileConfig()
    approval: ApprovalConfig = ApprovalConfig()
    retention: RetentionConfig = RetentionConfig()
    encryption: EncryptionConfig = EncryptionConfig()

    @field_validator("user")
    @classmethod
    def _user(cls, name: str) -> str:
        try:
            return guard.user(name)
        except InvalidInput as error:
            raise ValueError(str(error)) from error

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, name: str) -> str:
        try:
            clock.zone_named(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {name!r} is known here; use a name such as Europe/Berlin") from error
        return name

    @field_validator("database")
    @classmethod
    def _database(cls, name: str) -> str:
        try:
            Path(name).expanduser()
        except RuntimeError as error:
            raise ValueError(f"{name!r} names no home folder that is known here") from error
        if "\0" in name:
            raise ValueError("the path holds a NUL character")
        return name

    @field_validator("embedding", "llm")
    @classmethod
    def _endpoint(cls, section: EndpointConfig, info: ValidationInfo) -> EndpointConfig:
        if section.base_url and not _is_address(section.base_url):
            # Not repeated: it may hold a password.
            setting, example = f"{info.field_name}.base_url", "http://127.0.0.1:11434/v1"
            raise ValueError(f"{setting} must be an http or https address without query or fragment, such as {example}")
        return section

    @field_validator("tools")
    @classmethod
    def _tools_exist(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        _chosen(entries)
        return entries

    def path(self) -> Path:
        """The database file, absolute."""
        return Path(self.database).expanduser().absolute() if self.database else default_folder() / "memory.db"

    def tool_names(self) -> tuple[str, ...]:
        """The tools that `tools` turns on, in the order of their profile."""
        return _chosen(self.tools)


def default_folder() -> Path:
    """Where data is kept on this platform."""
    return platformdirs.user_data_path(APP_NAME, appauthor=False)


def default_file() -> Path:
    """The configuration file that is read when none is named."""
    return platformdirs.user_config_path(APP_NAME, appauthor=False) / "config.toml"


def load(file: Path | None, environ: Mapping[str, str], options: Mapping[str, Any]) -> Config:
    """The configuration of one run. `options` are the command line's; None in them is not given.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown or has a value that cannot be used.
    """
    source = file if file is not None else default_file()
    merged = _read(source, required=file is not None)
    _refuse_unknown(merged, Config, str(source), "")
    places = {name: f"{source}: {name}" for name in _dotted(merged)}
    for name, value in _from_environment(environ).items():
        _put(merged, name, value)
        places[name] = variable(name)
    for name, value in options.items():
        if value is not None:
            _put(merged, name, value)
            places[name] = f"--{name.replace('_', '-')}"
    try:
        config = _with_keys(Config.model_validate(merged), environ)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        within = [place for inner, place in places.items() if inner.startswith(f"{name}.")]
        place = places.get(name) or ", ".join(within) or f"{source}: {name}"
        raise ConfigError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from error
    _warn_of_unknown(environ, config)
    return config


def settings() -> dict[str, type[Value]]:
    """Every setting by its dotted name, with the section it stands in."""
    names: dict[str, type[Value]] = {}
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Value):
            names |= {f"{name}.{inner}": field.annotation for inner in _settable(field.annotation)}
        else:
            names[name] = Config
    return names


def variable(setting: str) -> str:
    """The environment variable of a setting's dotted name."""
    return PREFIX + setting.replace(".", "_").upper()


def _chosen(entries: Sequence[str]) -> tuple[str, ...]:
    known = [name for names in TOOL_PROFILES.values() for name in names]
    chosen: set[str] = set()
    for entry in entries:
        name = entry.removeprefix("-")
        if name not in TOOL_PROFILES and name not in known:
            raise ValueError(f"no tool or profile {name!r}{nearest(name, [*TOOL_PROFILES, *known])}")
        named = set(TOOL_PROFILES.get(name, (name,)))
        chosen = chosen - named if entry.startswith("-") else chosen | named
    return tuple(name for name in known if name in chosen)


def _is_address(url: str) -> bool:
    try:
        address = Url(url)
    except ValueError:
        return False
    return address.scheme in {"http", "https"} and address.query is None and address.fragment is None


def _settable(section: type[Value]) -> list[str]:
    """The settings of a section; a secret is none, so that no file holds one."""
    return [name for name, field in section.model_fields.items() if not field.exclude]


def _with_keys(config: Config, environ: Mapping[str, str]) -> Config:
    sections: dict[str, EndpointConfig] = {"embedding": config.embedding, "llm": config.llm}
    encryption = {"key": SecretStr(environ.get(config.encryption.key_env, ""))}
    keys = {name: SecretStr(environ.get(section.api_key_env, "")) for name, section in sections.items()}
    return config.model_copy(
        update={name: section.model_copy(update={"api_key": keys[name]}) for name, section in sections.items()}
        | {"encryption": config.encryption.model_copy(update=encryption)}
    )


def _read(source: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise ConfigError(f"{source}: no such configuration file") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error


def _refuse_unknown(given: Mapping[str, Any], section: type[Value], source: str, prefix: str) -> None:
    for name, value in given.items():
        if name not in _settable(section):
            raise ConfigError(f"{source}: unknown setting {prefix}{name}{nearest(name, _settable(section))}")
        annotation = section.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, Value):
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: {name} is a section: write [{name}], and its settings below it")
            _refuse_unknown(cast("Mapping[str, Any]", value), annotation, source, f"{prefix}{name}.")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Settings from variables."""
    found: dict[str, Any] = {}
    for name in settings():
        value = environ.get(variable(name))
        if value or (value is not None and name not in _NEVER_EMPTY):
            found[name] = [part.strip() for part in value.split(",")] if name in _LISTS else value
    return found


def _warn_of_unknown(environ: Mapping[str, str], config: Config) -> None:
    """An unknown variable is no error, since other programs use the same prefix."""
    known = [variable(name) for name in settings()]
    keys = {config.encryption.key_env, config.embedding.api_key_env, config.llm.api_key_env}
    for name in environ:
        if name.startswith(PREFIX) and name not in known and name not in keys:
            _log.warning("%s is no setting of mcp-memory%s; ignored", name, nearest(name, known))


def _put(target: dict[str, Any], name: str, value: object) -> None:
    section, _, inner = name.rpartition(".")
    (target.setdefault(section, {}) if section else target)[inner] = value


def _dotted(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of the settings in a file."""
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _dotted(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
