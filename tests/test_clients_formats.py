"""Changing one thing in a file and nothing else, in three formats."""

import json
import re
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_memory.clients.formats import drop, parse, put

ENTRY = {"command": "/opt/記憶/mcp-memory", "args": ["serve", "--user", 'a"b\\c'], "env": {"A": "1"}}

spaces = st.sampled_from(["", " ", "\n", "\n  ", "\r\n\t", " /* c, } */ ", "\n// it's {\n", " // , ]\r\n"])
words = st.text(st.sampled_from('abz,:{}[]"/\\*# \té記'), max_size=8)
plain = st.none() | st.booleans() | st.integers(-99, 99) | words


@st.composite
def written(draw: st.DrawFn, depth: int = 3) -> str:
    """A value of JSON as a person might have written it."""
    if not depth or draw(st.booleans()):
        return json.dumps(draw(plain), ensure_ascii=draw(st.booleans()))
    inner = draw(st.lists(written(depth=depth - 1), max_size=3))
    listed = draw(st.booleans())
    names = [draw(st.sampled_from(["a", "b", "mcp", 'q"', "memory"])) for _ in inner]
    parts = [
        f"{draw(spaces)}{'' if listed else f'{json.dumps(name)}{draw(spaces)}:{draw(spaces)}'}{one}{draw(spaces)}"
        for name, one in zip(names, inner, strict=True)
    ]
    last = "," + draw(spaces) if parts and draw(st.booleans()) else draw(spaces)
    opening, closing = "[]" if listed else "{}"
    return f"{opening}{','.join(parts)}{last}{closing}"


@st.composite
def files(draw: st.DrawFn) -> str:
    members = [
        f'{draw(spaces)}"k{number}"{draw(spaces)}:{draw(written())}' for number in range(draw(st.integers(0, 2)))
    ]
    if draw(st.booleans()):
        servers = f'{draw(spaces)}"servers":{draw(spaces)}{{{draw(spaces)}{draw(held)}{draw(spaces)}}}'
        members.insert(draw(st.integers(0, len(members))), servers)
    whole = ",".join(members)
    return f"{draw(spaces)}{{{whole}{draw(spaces)}}}{draw(spaces)}"


held = st.sampled_from(["", '"x": 1', '"x": 1,', '"x": {"command": "y"} // z\n', '"x": 1, /* q */ "y": [2]'])


def comments(text: str) -> list[str]:
    found = re.finditer(r'"(?:\\.|[^"\\])*"|(//[^\r\n]*|/\*.*?\*/)', text, flags=re.DOTALL)
    return sorted(match[1] for match in found if match[1])


@settings(deadline=None)
@given(files())
def test_any_json_keeps_its_values_and_comments_when_an_entry_comes_and_goes(text: str) -> None:
    before: Any = parse("json", text)
    with_it = put("json", text, ["servers", "memory"], ENTRY)
    whole: Any = parse("json", with_it)
    assert whole.pop("servers") == {**before.get("servers", {}), "memory": ENTRY}
    assert whole == {key: value for key, value in before.items() if key != "servers"}
    assert comments(with_it) == comments(text)
    assert put("json", with_it, ["servers", "memory"], ENTRY) == with_it
    without = drop("json", with_it, ["servers", "memory"])
    assert parse("json", without) == {**before, "servers": before.get("servers", {})}
    assert comments(without) == comments(text)


tables = st.recursive(
    st.booleans() | st.integers(-9, 9) | words.filter(lambda word: "\t" not in word),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None, max_examples=25)
@given(st.dictionaries(st.sampled_from(["a", "servers", "web"]), tables, max_size=3), st.booleans(), st.booleans())
def test_any_yaml_keeps_its_values_when_an_entry_comes_and_goes(value: dict[str, Any], flow: bool, crlf: bool) -> None:
    if not isinstance(value.get("servers", {}), dict):
        value["servers"] = {}
    text = "# mine\n" + yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    text = text.replace("\n", "\r\n") if crlf else text
    with_it = put("yaml", text, ["servers", "memory"], ENTRY)
    assert parse("yaml", with_it) == {**value, "servers": {**value.get("servers", {}), "memory": ENTRY}}
    assert with_it.startswith("# mine")
    assert "\n" not in with_it.replace("\r\n", "") if crlf else "\r" not in with_it
    without: Any = parse("yaml", drop("yaml", with_it, ["servers", "memory"]))
    assert without == {**value, "servers": value.get("servers", {})}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a = 1",
        'mcp_servers.web.command = "x"\n',
        'mcp_servers = {web = {command = "x"}}  # in a line\n',
        "[mcp_servers]\n# none yet\n\n[z]\nq = 1\n",
        '[mcp_servers.a]\ncommand = """\n[mcp_servers.memory]\n"""\n\n# of z\n[[z]]\n[[z]]\nq = [\n  1, # one\n]\n',
    ],
)
def test_toml_of_every_layout_keeps_its_lines_when_an_entry_comes_and_goes(text: str) -> None:
    before = tomllib.loads(text)
    with_it = put("toml", text, ["mcp_servers", "memory"], ENTRY)
    servers = {**before.get("mcp_servers", {}), "memory": ENTRY}
    assert tomllib.loads(with_it) == {**before, "mcp_servers": servers}
    if "{" not in text:
        assert with_it.startswith(text)
    changed = put("toml", with_it, ["mcp_servers", "memory", "args"], ["serve"])
    assert tomllib.loads(changed)["mcp_servers"]["memory"] == {**ENTRY, "args": ["serve"]}
    without = drop("toml", with_it, ["mcp_servers", "memory"])
    assert without.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        pytest.param("json", '{\n "a": 1\n "b": 2}', "line 3", id="JSON without a comma"),
        pytest.param("json", '{"servers": {}} }', "line 1", id="JSON with more behind it"),
        pytest.param("json", "[" * 100_000, "nests too deep", id="JSON that nests too deep"),
        pytest.param("json", '{"servers": [1]}', "no table where memory would stand", id="a list in the place"),
        pytest.param("toml", "a = \n", "line 1", id="TOML without a value"),
        pytest.param("toml", "servers = 3\n", "no table where memory would stand", id="a number in the place"),
        pytest.param("yaml", "a: b: c\n", "line 1", id="YAML with two colons"),
        pytest.param("yaml", "- a\n- b\n", "no table where servers would stand", id="YAML that is a list"),
        pytest.param("yaml", "a: 1\n---\nb: 2\n", "line 2", id="two documents"),
        pytest.param("yaml", "a: \x01\n", "not allowed", id="YAML with a control character"),
    ],
)
def test_what_is_broken_or_in_the_way_is_told_with_its_place(form: Any, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        put(form, text, ["servers", "memory"], ENTRY)
