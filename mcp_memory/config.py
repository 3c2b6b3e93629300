"""Settings, read once: the command line wins over the environment, that over the file, the file over the defaults.

The only reader of the environment and of the configuration file.
"""

import builtins
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfoNotFoundError

import platformdirs
from msgspec.structs import fields as fields_of
from msgspec.structs import force_setattr

from mcp_memory import clock, guard, text
from mcp_memory.errors import ConfigError, InvalidInput
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
    Secret,
    SecretsConfig,
    StoreConfig,
    Unusable,
    nearest,
)
from mcp_memory.text.addresses import parse_address
from mcp_memory.values import Misfit, Value, plain_type

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

_NONE_WHEN_EMPTY: Final = {"llm.temperature"}
"""Settings that are turned off by an empty text, since neither TOML nor a variable has a null."""

_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})

_log = logging.getLogger(__name__)


class Config(Value):
    """Every setting, checked. `database` is empty for the platform's own folder."""

    user: str = "default"
    """Whose memories these are, with identity = fixed."""
    identity: Literal["fixed", "argument"] = "fixed"
    """"fixed": one user, named at launch; "argument": every tool takes a user_id."""
    agent: str = ""
    """Name of the agent, recorded on what it writes."""
    team: str = ""
    """Name of the agent's team, recorded on what it writes."""
    database: str = ""
    """The SQLite file; empty: memory.db in the platform's data folder."""
    ephemeral: bool = False
    """Keep memories in this process only, and no file at all."""
    tools: tuple[str, ...] = ("core",)
    """Tool profiles and single tools; a minus sign takes one away."""
    timezone: str = ""
    """IANA zone for dates shown and times without an offset; empty: the system's."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """What is written to stderr."""
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

    def __post_init__(self) -> None:
        try:
            force_setattr(self, "user", guard.user(self.user))
        except InvalidInput as error:
            raise Unusable("user", str(error)) from error
        _check_zone(self.timezone)
        _check_path(self.database)
        _check_endpoint("embedding", self.embedding)
        _check_endpoint("llm", self.llm)
        _chosen(self.tools)

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
    for name, place in places.items():
        try:
            _put(merged, name, _typed(name, _get(merged, name)))
        except ValueError as error:
            raise ConfigError(f"{place}: {error}") from error
    try:
        config = _with_keys(Config.checked(merged), environ)
    except Misfit as error:
        name, told = _explained(error)
        within = [place for inner, place in places.items() if inner.startswith(f"{name}.")]
        place = places.get(name) or ", ".join(within) or f"{source}: {name}"
        raise ConfigError(f"{place}: {told}") from error
    _warn_of_unknown(environ, config)
    return config


def settings() -> dict[str, type[Value]]:
    """Every setting by its dotted name, with the section it stands in."""
    names: dict[str, type[Value]] = {}
    for name, section in _sections().items():
        names |= {f"{name}.{inner}": section for inner in _settable(section)} if section else {name: Config}
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
            raise Unusable("tools", f"no tool or profile {name!r}{nearest(name, [*TOOL_PROFILES, *known])}")
        named = set(TOOL_PROFILES.get(name, (name,)))
        chosen = chosen - named if entry.startswith("-") else chosen | named
    return tuple(name for name in known if name in chosen)


def _check_zone(name: str) -> None:
    try:
        clock.zone_named(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        told = f"no time zone {name!r} is known here; use a name such as Europe/Berlin"
        raise Unusable("timezone", told) from error


def _check_path(name: str) -> None:
    try:
        Path(name).expanduser()
    except RuntimeError as error:
        raise Unusable("database", f"{name!r} names no home folder that is known here") from error
    if "\0" in name:
        raise Unusable("database", "the path holds a NUL character")


def _check_endpoint(name: str, section: EndpointConfig) -> None:
    if section.base_url and parse_address(section.base_url) is None:
        # Not repeated: it may hold a password.
        told = f"{name}.base_url must be an http or https address without query or fragment"
        raise Unusable(name, f"{told}, such as http://127.0.0.1:11434/v1")


@cache
def _sections() -> dict[str, type[Value] | None]:
    """What the configuration holds, in order: the class of a section, None for a setting of its own."""
    kinds = ((field.name, field.type) for field in fields_of(Config))
    return {name: kind if isinstance(kind, type) and issubclass(kind, Value) else None for name, kind in kinds}


def _settable(section: type[Value]) -> list[str]:
    """The settings of a section; a secret is none, so that no file holds one."""
    return [field.name for field in fields_of(section) if field.type is not Secret]


def _explained(error: Misfit) -> tuple[str, str]:
    """The dotted name of the setting that is refused, as far as it is known, and why."""
    parts = [part for part in error.place.split(".") if part.isidentifier()]
    if isinstance(error.__cause__, Unusable):
        return ".".join(filter(None, [*parts, error.__cause__.setting])), str(error.__cause__)
    return ".".join(parts), error.why


def _with_keys(config: Config, environ: Mapping[str, str]) -> Config:
    sections: dict[str, EndpointConfig] = {"embedding": config.embedding, "llm": config.llm}
    encryption = {"key": Secret(environ.get(config.encryption.key_env, ""))}
    keys = {name: Secret(environ.get(section.api_key_env, "")) for name, section in sections.items()}
    changed: dict[str, Value] = {name: section.replace(api_key=keys[name]) for name, section in sections.items()}
    return config.replace(**changed, encryption=config.encryption.replace(**encryption))


def _read(source: Path, *, required: bool) -> dict[str, Any]:
    try:
        content = source.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise ConfigError(f"{source}: no such configuration file") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read ({error})") from error
    import tomllib

    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error


def _refuse_unknown(given: Mapping[str, Any], section: type[Value], source: str, prefix: str) -> None:
    for name, value in given.items():
        if name not in _settable(section):
            raise ConfigError(f"{source}: unknown setting {prefix}{name}{nearest(name, _settable(section))}")
        inner = None if prefix else _sections()[name]
        if inner is not None:
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: {name} is a section: write [{name}], and its settings below it")
            _refuse_unknown(cast("Mapping[str, Any]", value), inner, source, f"{name}.")


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


def _get(source: Mapping[str, Any], name: str) -> object:
    section, _, inner = name.rpartition(".")
    return (source[section] if section else source)[inner]


def _typed(name: str, value: object) -> object:
    """What a text means as the value of the setting of that dotted name; everything else is as it is.

    Raises:
        ValueError: nothing that it can be.
    """
    if not isinstance(value, str):
        return value
    if not value and name in _NONE_WHEN_EMPTY:
        return None
    kind = _kinds().get(name)
    if kind is not str and text.lone_surrogate(value):  # the name of a file may hold any bytes
        raise ValueError("it holds bytes that are no UTF-8 text")
    match kind:
        case builtins.bool:
            if (word := value.strip().lower()) not in _TRUE | _FALSE:
                raise ValueError(f"{guard.shown(value)} is neither true nor false")
            return word in _TRUE
        case builtins.int:
            return _number(value, int, "whole number")
        case builtins.float:
            return _number(value, float, "number")
        case _:
            return value


def _number(value: str, read: Callable[[str], float], what: str) -> float:
    try:
        return read(value)
    except ValueError:
        raise ValueError(f"{guard.shown(value)} is no {what}") from None


@cache
def _kinds() -> dict[str, object]:
    """What each setting is, by its dotted name."""
    kinds: dict[str, object] = {}
    for name, section in settings().items():
        inner = name.rpartition(".")[2]
        kinds[name] = next(plain_type(one.type) for one in fields_of(section) if one.name == inner)
    return kinds


def _dotted(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of the settings in a file."""
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _dotted(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
