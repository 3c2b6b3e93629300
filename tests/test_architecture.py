import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mcp_memory"

LAYERS = (
    ("errors", "calm"),
    ("values",),
    ("models",),
    ("checks",),
    ("clock",),
    ("text",),
    ("prompts",),
    ("guard",),
    ("llm.base",),
    ("extraction.recalled", "extraction.speakers"),
    ("extraction.conversation",),
    ("extraction.chunks", "extraction.transcripts"),
    ("sections",),
    ("config", "keys"),
    ("clients",),
    ("endpoint",),
    ("signs", "candidates"),
    ("ranking",),
    ("store.census", "store.importance", "store.lineage"),
    ("store.transaction",),
    ("store.base",),
    ("store.ephemeral", "store.sqlite"),
    ("embed.base",),
    ("embed.builtin", "embed.openai"),
    ("llm.openai",),
    ("service",),
    ("extraction",),
    ("transfer",),
    ("views",),
    ("app",),
    ("testing",),
    ("ui",),
    ("server",),
    ("cli",),
)
"""A module may import what stands above it, and within its own row only itself."""

LAZY = {
    "mcp_memory.app": {
        "mcp_memory.embed.openai",
        "mcp_memory.extraction.extractor",
        "mcp_memory.extraction.summarize",
        "mcp_memory.llm.openai",
        "mcp_memory.service.backups",
        "mcp_memory.service.reindex",
        "mcp_memory.store.ephemeral",
        "mcp_memory.store.sqlite",
        "mcp_memory.store.sqlite.glance",
        "mcp_memory.store.sqlite.restore",
        "mcp_memory.store.sqlite.rewriting",
    },
    "mcp_memory.cli.output": {"rich.console"},
    "mcp_memory.cli.serving": {"mcp_memory.server.stdio", "mcp_memory.cli.demo"},
    "mcp_memory.cli.tables": {"rich", "rich.console", "rich.table", "rich.text"},
    "mcp_memory.clients.formats.tomls": {"tomlkit", "tomlkit.items"},
    "mcp_memory.clients.formats.yamls": {"yaml"},
    "mcp_memory.config": {"tomllib"},
    "mcp_memory.embed.base": {"numpy"},
    "mcp_memory.embed.builtin": {"numpy"},
    "mcp_memory.embed.openai": {"numpy", "openai"},
    "mcp_memory.endpoint": {"openai"},
    "mcp_memory.keys": {"keyring", "keyring.errors"},
    "mcp_memory.llm.openai": {"openai"},
    "mcp_memory.candidates": {"numpy"},
    "mcp_memory.ranking": {"numpy"},
    "mcp_memory.signs": {"numpy"},
    "mcp_memory.server.tools.apps": {"mcp.server.apps"},
    "mcp_memory.service.memories": {"mcp_memory.service.optimize", "mcp_memory.service.transfer"},
    "mcp_memory.transfer.databases": {"psycopg"},
    "mcp_memory.store.ephemeral.store": {"numpy"},
    "mcp_memory.store.sqlite.arrays": {"numpy"},
    "mcp_memory.store.sqlite.index": {"numpy"},
    "mcp_memory.store.sqlite.opening": {"sqlcipher3"},
    "mcp_memory.store.sqlite.rows": {"numpy"},
    "mcp_memory.store.sqlite.store": {"numpy"},
}
"""The imports that stand inside functions, because what they load is large or not always wanted."""

ROOTS = {"mcp_memory", "mcp_memory.__main__", "mcp_memory.store", "mcp_memory.embed", "mcp_memory.llm"}
"""Packages that only hold others."""

MAX_FILE = 400
MAX_TEST_FILE = 600
MAX_FUNCTION = 50


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> int | None:
    inner = module.removeprefix("mcp_memory").removeprefix(".")
    for number, names in enumerate(LAYERS):
        if any(inner == name or inner.startswith(f"{name}.") for name in names):
            return number
    return None


def family(module: str) -> str:
    inner = module.removeprefix("mcp_memory.")
    return next((name for names in LAYERS for name in names if inner == name or inner.startswith(f"{name}.")), inner)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(name), names=names):
                for alias in names:
                    is_module = (ROOT / Path(*name.split(".")) / f"{alias.name}.py").exists()
                    is_package = (ROOT / Path(*name.split(".")) / alias.name / "__init__.py").exists()
                    yield f"{name}.{alias.name}" if is_module or is_package else name
            case _:
                pass


def own_imports(tree: ast.AST) -> Iterator[str]:
    return (name for name in imported(tree) if name.split(".")[0] == "mcp_memory")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_imports_point_one_way_only() -> None:
    for path in sources("mcp_memory"):
        module = module_name(path)
        if module not in {
            "mcp_memory",
            "mcp_memory.__main__",
            "mcp_memory.store",
            "mcp_memory.embed",
            "mcp_memory.llm",
        }:
            assert_imports_from_above(module, path)


def assert_imports_from_above(module: str, path: Path) -> None:
    own = layer(module)
    assert own is not None, f"{module} stands in no layer; add it to LAYERS"
    for name in own_imports(parsed(path)):
        if name == "mcp_memory":
            continue
        target = layer(name)
        assert target is not None, f"{module} imports {name}, which stands in no layer"
        assert target < own or family(name) == family(module), f"{module} must not import {name}"


def test_imports_inside_functions_are_the_named_ones() -> None:
    for path in sources("mcp_memory"):
        module = module_name(path)
        lazy = {name for function in functions(parsed(path)) for name in imported(function)}
        assert lazy <= LAZY.get(module, set()), f"{module} imports inside a function: {lazy}"


def test_every_lazy_import_named_is_one() -> None:
    for module, names in LAZY.items():
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        lazy = {name for function in functions(parsed(path)) for name in imported(function)}
        assert names <= lazy


def test_only_the_command_line_hands_the_environment_on() -> None:
    reading = {
        module_name(path)
        for path in sources("mcp_memory")
        if any(isinstance(node, ast.Attribute) and node.attr == "environ" for node in ast.walk(parsed(path)))
    }
    doors = {"mcp_memory.cli.commands", "mcp_memory.cli.install", "mcp_memory.cli.options", "mcp_memory.cli.doctor"}
    assert reading <= {"mcp_memory.config", *doors}


def test_the_sdk_is_imported_by_the_server_and_the_demo_only() -> None:
    for path in sources("mcp_memory"):
        uses = any(name.split(".")[0] in {"mcp", "mcp_types"} for name in imported(parsed(path)))
        assert not uses or module_name(path).startswith(("mcp_memory.server", "mcp_memory.cli.demo"))


def test_files_and_functions_stay_small() -> None:
    for path in sources("mcp_memory", "tests", "benchmarks"):
        limit = MAX_TEST_FILE if path.is_relative_to(ROOT / "tests") else MAX_FILE
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= limit, f"{module_name(path)} has {lines} lines"
        for function in functions(parsed(path)):
            length = (function.end_lineno or 0) - function.lineno + 1
            assert length <= MAX_FUNCTION, f"{module_name(path)}.{function.name} has {length} lines"


def test_nothing_catches_everything() -> None:
    for path in sources("mcp_memory", "tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                assert not broad, f"{module_name(path)}, line {node.lineno}"


def test_sql_stands_in_sql_files() -> None:
    keywords = ("SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM")
    for path in sources("mcp_memory"):
        if path.name == "migrate.py":
            continue
        strings = [node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)]
        found = [text for text in strings if isinstance(text, str) and text.startswith(keywords)]
        assert not found, f"{module_name(path)}: {found}"


LIBRARIES = {"sqlite3", "aiosqlite", "dbapi2"}


def said_of_a_library(node: ast.AST) -> Iterator[str]:
    """The names that stand behind a library's in `node`: `Error` for `sqlite3.Error`."""
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=ast.Name(id=library), attr=name) if library in LIBRARIES:
                yield name
            case _:
                pass


def test_every_database_file_is_opened_in_one_place() -> None:
    found: dict[str, list[str]] = {}
    for path in sources("mcp_memory"):
        for node in ast.walk(parsed(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.module in {*LIBRARIES, "sqlcipher3.dbapi2"}), path
            if isinstance(node, ast.Call) and "connect" in said_of_a_library(node.func):
                found.setdefault(path.name, []).append(ast.unparse(node))
    files = {name: [call for call in calls if "':memory:'" not in call] for name, calls in found.items()}
    del files["opening.py"]
    claim = ["sqlite3.connect(lock, isolation_level=None, timeout=0)"]
    assert {name: calls for name, calls in files.items() if calls} == {"backup.py": claim}


def test_errors_of_both_libraries_are_caught_together() -> None:
    """SQLCipher's errors are not SQLite's: who catches one kind only misses the other."""
    for path in sources("mcp_memory"):
        for function in functions(parsed(path)):
            handlers = [node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler) and node.type]
            caught = {name for handler in handlers if handler.type for name in said_of_a_library(handler.type)}
            told = f"{module_name(path)}.{function.name} catches {caught}"
            assert not caught or function.name in {"_taken", "_versions"}, told
