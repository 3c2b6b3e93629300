"""What named tokenizers count: how the estimate of `text.tokens` is calibrated, and where the test's figures are from.

pip install tiktoken tokenizers
pip download --no-deps litellm==1.109.1        # its wheel carries the vocabularies
unzip litellm-*.whl 'litellm/litellm_core_utils/tokenizers/*'
python -m benchmarks.vocabularies litellm/litellm_core_utils/tokenizers tests/fixtures/tokens.json
"""

import argparse
import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.statements import KINDS, statements
from mcp_memory.text.tokens import estimate

TIKTOKEN: Final = ("cl100k_base", "o200k_base")
JSON: Final = {"anthropic": "anthropic_tokenizer.json", "deepseek": "deepseek_tokenizer.json"}
"""The tokenizer of Claude before version 3, which is public, and that of DeepSeek."""
PASSAGES: Final = 8
PER_PASSAGE: Final = 14


def counters(folder: Path) -> Mapping[str, Callable[[str], int]]:
    """How many tokens a text takes, by the vocabularies in `folder`."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    tiktoken: Any = importlib.import_module("tiktoken")
    tokenizers: Any = importlib.import_module("tokenizers")

    def by_tiktoken(name: str) -> Callable[[str], int]:
        encoding = tiktoken.get_encoding(name)
        return lambda text: len(encoding.encode(text, disallowed_special=()))

    def by_file(name: str) -> Callable[[str], int]:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / name))
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

    return {name: by_tiktoken(name) for name in TIKTOKEN} | {name: by_file(file) for name, file in JSON.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the vocabularies are")
    parser.add_argument("fixture", type=Path, help="the JSON file that is written")
    asked = parser.parse_args()
    count = counters(asked.folder)
    passages: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        lines = statements(kind, PASSAGES * PER_PASSAGE)
        texts = ["\n".join(lines[at : at + PER_PASSAGE]) for at in range(0, len(lines), PER_PASSAGE)]
        passages[kind] = [{"text": text, "tokens": {name: one(text) for name, one in count.items()}} for text in texts]
        for name in count:
            ratios = [estimate(one["text"]) / one["tokens"][name] for one in passages[kind]]
            print(f"{kind:8} {name:12} estimate / count: {min(ratios):.2f} to {max(ratios):.2f}")
    asked.fixture.write_text(json.dumps(passages, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
