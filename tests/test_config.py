import tomllib
from pathlib import Path
from typing import Any

import pytest

from mcp_memory import config
from mcp_memory.calm import calm
from mcp_memory.config import Config
from mcp_memory.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_sets_every_setting_to_its_default() -> None:
    assert Config.checked(tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))) == Config()


@pytest.mark.parametrize("setting", config.settings())
def test_the_example_names_every_setting_and_its_variable(setting: str) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert config.variable(setting) in text
    value: Any = tomllib.loads(text)
    for part in setting.split("."):
        value = value[part]


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'user = "from file"\nagent = "from file"\nteam = "from file"\n')
    environ = {"MCP_MEMORY_AGENT": "from environment", "MCP_MEMORY_TEAM": "from environment"}
    loaded = config.load(file, environ, {"team": "from option", "agent": None})
    assert (loaded.user, loaded.agent, loaded.team) == ("from file", "from environment", "from option")


@pytest.mark.parametrize(
    ("variable", "value", "setting", "expected"),
    [
        ("MCP_MEMORY_USER", "alice", "user", "alice"),
        ("MCP_MEMORY_EPHEMERAL", "true", "ephemeral", True),
        ("MCP_MEMORY_TOOLS", "core, -undo", "tools", ("core", "-undo")),
        ("MCP_MEMORY_IDENTITY", "argument", "identity", "argument"),
        ("MCP_MEMORY_TIMEZONE", "Europe/Berlin", "timezone", "Europe/Berlin"),
    ],
)
def test_a_variable_sets_its_setting(variable: str, value: str, setting: str, expected: object) -> None:
    assert getattr(config.load(None, {variable: value}, {}), setting) == expected


@pytest.mark.parametrize(
    ("variable", "value", "section", "setting", "expected"),
    [
        ("STORE_LOCK_TIMEOUT", "2.5", "store", "lock_timeout", 2.5),
        ("LLM_MODEL", "qwen3", "llm", "model", "qwen3"),
        ("LLM_TEMPERATURE", "0.7", "llm", "temperature", 0.7),
        ("LLM_TEMPERATURE", "", "llm", "temperature", None),
        ("LLM_MAX_RETRIES", "0", "llm", "max_retries", 0),
        ("EXTRACTION_TOPICS", "Work, family,, work ", "extraction", "topics", ("work", "family")),
        ("EXTRACTION_TOPICS", "", "extraction", "topics", ()),
        (
            "EXTRACTION_INSTRUCTIONS",
            "Keep names., Keep ages.",
            "extraction",
            "instructions",
            ("Keep names.", "Keep ages."),
        ),
        ("EXTRACTION_MODE", "always", "extraction", "mode", "always"),
    ],
)
def test_a_variable_sets_a_setting_inside_a_section(
    variable: str, value: str, section: str, setting: str, expected: object
) -> None:
    loaded = config.load(None, {f"MCP_MEMORY_{variable}": value}, {})
    assert getattr(getattr(loaded, section), setting) == expected


@pytest.mark.parametrize("variable", ["MCP_MEMORY_USER", "MCP_MEMORY_TOOLS"])
def test_a_variable_left_empty_in_a_form_is_not_given(tmp_path: Path, variable: str) -> None:
    file = written(tmp_path, 'user = "alice"\ntools = ["manage"]')
    assert config.load(file, {variable: ""}, {}) == config.load(file, {}, {})


def test_an_instruction_in_a_file_may_hold_commas_and_topics_are_tidied(tmp_path: Path) -> None:
    file = written(
        tmp_path, '[extraction]\ninstructions = [" Names, ages. ", ""]\ntopics = ["Work\\nlife", "WORK life"]'
    )
    extraction = config.load(file, {}, {}).extraction
    assert (extraction.instructions, extraction.topics) == (("Names, ages.",), ("work life",))


def test_no_model_is_configured_unless_the_operator_names_one() -> None:
    assert config.load(None, {"OPENAI_API_KEY": "sk-alice"}, {}).llm.model == ""


def test_keys_come_from_the_variables_that_their_sections_name(tmp_path: Path) -> None:
    file = written(tmp_path, '[llm]\napi_key_env = "BOBS_KEY"')
    loaded = config.load(file, {"BOBS_KEY": "sk-bob", "OPENAI_API_KEY": "sk-alice"}, {})
    assert loaded.llm.api_key.reveal() == "sk-bob"
    assert loaded.embedding.api_key.reveal() == "sk-alice"
    assert "sk-" not in f"{loaded!r} {loaded} {loaded.fields()}"


@pytest.mark.parametrize("section", ["embedding", "llm"])
def test_a_key_in_the_file_is_refused(tmp_path: Path, section: str) -> None:
    file = written(tmp_path, f'[{section}]\napi_key = "sk-alice"')
    with pytest.raises(ConfigError, match=f"unknown setting {section}.api_key; did you mean api_key_env") as caught:
        config.load(file, {}, {})
    assert "sk-alice" not in str(caught.value)


def test_a_foreign_variable_with_our_prefix_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    config.load(None, {"MCP_MEMORY_USERR": "alice"}, {})
    assert "MCP_MEMORY_USERR" in caplog.text
    assert "did you mean MCP_MEMORY_USER?" in caplog.text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param('usr = "x"', ["config.toml", "usr", "did you mean user?"], id="unknown"),
        pytest.param(
            "[store]\nlock_timout = 1", ["store.lock_timout", "did you mean lock_timeout?"], id="unknown inside"
        ),
        pytest.param('identity = "token"', ["identity", "fixed"], id="not a choice"),
        pytest.param('tools = ["cor"]', ["'cor'", "did you mean core?"], id="unknown tool"),
        pytest.param('timezone = "Mars/Olympus"', ["timezone", "Mars/Olympus"], id="unknown zone"),
        pytest.param('timezone = "../../etc"', ["timezone"], id="zone that is a path"),
        pytest.param('database = "~nosuchuser/x.db"', ["database", "home folder"], id="a home that is not known"),
        pytest.param('database = "a\\u0000b"', ["database", "NUL"], id="a path with NUL"),
        pytest.param('user = ""', ["user", "1 to 200"], id="empty user"),
        pytest.param("[store]\nlock_timeout = -1", ["store.lock_timeout"], id="negative time"),
        pytest.param("user = [", ["config.toml", "TOML"], id="no TOML"),
        pytest.param(
            '[search]\nlanguages = ["german", "englsh"]',
            ["search.languages", "'englsh'", "did you mean english?"],
            id="a language misspelt",
        ),
        pytest.param('[search]\nlanguages = ["klingon"]', ["search.languages", "known: arabic"], id="no such language"),
        pytest.param("[search]\nlanguages = []", ["search.languages", "at least one"], id="no language"),
        pytest.param("[llm]\ntemperature = -0.1", ["llm.temperature", ">= 0"], id="below zero"),
        pytest.param('[llm]\ntemperature = "warm"', ["llm.temperature", "'warm' is no number"], id="no temperature"),
        pytest.param("[llm]\ntimeout = 0", ["llm.timeout"], id="no time for a reply"),
        pytest.param("[llm]\nmax_token = 9", ["llm.max_token", "did you mean max_tokens?"], id="misspelt"),
        pytest.param('[extraction]\nmode = "both"', ["extraction.mode", "agentic"], id="both modes"),
        pytest.param("[extraction]\nmax_neighbours = 101", ["extraction.max_neighbours"], id="too many neighbours"),
        pytest.param("[extraction]\nchunk_tokens = 599", ["extraction.chunk_tokens"], id="chunks too small"),
        pytest.param(
            f'[extraction]\ntopics = ["{"x" * 65}"]', ["extraction.topics", "1 to 64 characters"], id="a topic too long"
        ),
        pytest.param("store = 3", ["store", "section", "[store]"], id="a section that is a number"),
        pytest.param("user = {}", ["user", "str"], id="a setting that is a section"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_what_is_wrong(tmp_path: Path, text: str, named: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(file, {}, {})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: ")
    assert all(part in message for part in named), message


FINE = 'identity = "fixed"\n[store]\nlock_timeout = 1\n[embedding]\nbatch = 5\n'


@pytest.mark.parametrize(
    ("environ", "options", "start"),
    [
        pytest.param({"MCP_MEMORY_IDENTITY": "tokn"}, {}, "MCP_MEMORY_IDENTITY: ", id="variable"),
        pytest.param({"MCP_MEMORY_TOOLS": "core,udno"}, {}, "MCP_MEMORY_TOOLS: no tool", id="variable with a list"),
        pytest.param(
            {"MCP_MEMORY_STORE_LOCK_TIMEOUT": "soon"},
            {},
            "MCP_MEMORY_STORE_LOCK_TIMEOUT: ",
            id="variable of a setting in a section",
        ),
        pytest.param(
            {"MCP_MEMORY_EMBEDDING_PROVIDER": "openai"},
            {},
            "{file}: embedding.batch, MCP_MEMORY_EMBEDDING_PROVIDER: embedding.model",
            id="a section as a whole",
        ),
        pytest.param({}, {"identity": "tokn"}, "--identity: ", id="option"),
        pytest.param({}, {"log_level": "loud"}, "--log-level: ", id="option of two words"),
        pytest.param({}, {"tools": ["cor"]}, "--tools: no tool", id="option with a list"),
        pytest.param({"MCP_MEMORY_USER": "\u200b"}, {"user": ""}, "--user: ", id="option before variable"),
    ],
)
def test_a_wrong_value_names_where_it_came_from(
    tmp_path: Path, environ: dict[str, str], options: dict[str, Any], start: str
) -> None:
    file = written(tmp_path, FINE)
    with pytest.raises(ConfigError) as caught:
        config.load(file, environ, options)
    assert str(caught.value).startswith(start.format(file=file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        *(("profile.in_instructions", word, True) for word in ("yes", "ON", "1", " true ", "t")),
        *(("profile.in_instructions", word, False) for word in ("no", "off", "0", "False", "n")),
        *(("backup.keep", number, 5) for number in ("5", " 5 ", "+5", "05")),
        *(("store.lock_timeout", number, 0.5) for number in (".5", "0.5", "5e-1")),
        ("search.cache_mb", "1_000", 1_000),
    ],
)
def test_a_variable_is_read_as_people_write_it(tmp_path: Path, setting: str, value: str, expected: object) -> None:
    section, name = setting.split(".")
    in_file = config.load(written(tmp_path, f'[{section}]\n{name} = "{value}"'), {}, {})
    for loaded in (config.load(None, {config.variable(setting): value}, {}), in_file):
        assert getattr(getattr(loaded, section), name) == expected


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("profile.in_instructions", "maybe", "'maybe' is neither true nor false"),
        ("backup.keep", "five", "'five' is no whole number"),
        ("backup.keep", "1.5", "'1.5' is no whole number"),
        ("llm.temperature", "null", "'null' is no number"),
        ("store.lock_timeout", "nan", "expected float > 0"),
        ("store.lock_timeout", "1e400", "expected float"),
        ("log_level", "`warning`", "it is none of debug, info, warning, error"),
        ("log_level", "\udcff", "it holds bytes that are no UTF-8 text"),
        ("profile.in_instructions", "\udcff", "it holds bytes that are no UTF-8 text"),
    ],
)
def test_a_variable_that_means_nothing_is_one_line_that_says_so(setting: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {config.variable(setting): value}, {})
    assert str(caught.value).startswith(f"{config.variable(setting)}: {told}")


ADDRESSES = [
    "http://127.0.0.1:11434/v1",
    "https://api.example.com/v1/",
    "HTTPS://bob:pass@h",
    "http://[::1]:8080",
    "http://bücher.example/v1",
    "http://u:p[w@h",
]


@pytest.mark.parametrize("address", ["", *ADDRESSES])
@pytest.mark.parametrize("section", ["embedding", "llm"])
def test_an_endpoint_is_an_address_or_none(tmp_path: Path, section: str, address: str) -> None:
    loaded = config.load(written(tmp_path, f'[{section}]\nbase_url = "{address}"'), {}, {})
    assert getattr(loaded, section).base_url == address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:11434",
        "localhost",
        "ftp://h/v1",
        "http://",
        "http://bob:pass@h/?q=1",
        "http://h/v1?",
        "http://h/#v",
        *("http://256.1.1.1", "http://x[::1]/v1", "http://[::1]x:9", "http://[v1.x]", "http://a b", "http://a\u2028b"),
        *("http://h:70000", "http://a..b", "http://\u200b"),
    ],
)
@pytest.mark.parametrize("section", ["embedding", "llm"])
def test_an_endpoint_that_is_no_address_is_refused_without_repeating_it(section: str, address: str) -> None:
    variable = f"MCP_MEMORY_{section.upper()}_BASE_URL"
    with pytest.raises(ConfigError) as caught:
        config.load(None, {variable: address}, {})
    message = str(caught.value)
    assert message.startswith(f"{variable}: {section}.base_url must be an http or https address")
    assert "\n" not in message
    assert "bob" not in message


def test_languages_are_each_taken_once_in_their_order() -> None:
    loaded = config.load(None, {"MCP_MEMORY_SEARCH_LANGUAGES": "german, english,german"}, {})
    assert loaded.search.languages == ("german", "english")


def test_a_number_in_place_of_a_section_is_one_line_also_where_a_variable_sets_something_in_it(tmp_path: Path) -> None:
    file = written(tmp_path, "store = 1")
    with pytest.raises(ConfigError, match="store is a section"):
        config.load(file, {"MCP_MEMORY_STORE_LOCK_TIMEOUT": "2"}, {})


def test_numpy_gets_one_thread_unless_the_environment_says_otherwise() -> None:
    environ = {"OMP_NUM_THREADS": "4"}
    calm(environ)
    threads = {name: given for name, given in environ.items() if name.endswith("_NUM_THREADS")}
    assert threads == {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        config.load(tmp_path / "absent.toml", {}, {})


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (("core",), config.CORE),
        (("core", "-undo"), config.CORE[:-1]),
        (("get_memory", "add_memory"), ("add_memory", "get_memory")),
        (("core", "-core", "undo"), ("undo",)),
    ],
)
def test_tools_are_chosen_by_profile_and_name(tools: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert Config(tools=tools).tool_names() == expected


def test_the_database_is_in_the_platforms_data_folder_unless_named(tmp_path: Path) -> None:
    assert Config().path() == config.default_folder() / "memory.db"
    assert Config(database=str(tmp_path / "x.db")).path() == tmp_path / "x.db"
    assert Config(database="~/x.db").path() == Path.home() / "x.db"
    assert Config(database="x.db").path().is_absolute()
