import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece as Reference

from mcp_memory.embed.base import packed
from mcp_memory.embed.builtin import BuiltinEmbedder, load_table

TABLE = load_table()
VOCABULARY = TABLE.tokenizer.vocabulary

MIXED = [
    "Prefers window seats on long train rides.",
    "Don't e-mail bob@example.com at 10:30 — use v2.3.1 of /etc/hosts (ISO-27001)!",
    "Ça coûte 20 €, naïve Łódź, Đà Nẵng, İstanbul, Straße, ﬁancé, Ａｌｉｃｅ",
    "妹は東京で働いています。 她喜欢绿茶，不喝咖啡。",
    "그는 서울에 산다 ฉันชอบกาแฟ मुझे चाय पसंद है",
    "Ο Οδυσσέας ΣΊΣΥΦΟΣ Она живёт в Берлине والكتاب שָׁלוֹם",
    "👩‍👩‍👧 🇩🇪 ☕️ 1️⃣ ™ ½ ² ∑ ≤ $5 `code` ~ ^ | a\tb\nc\u00a0d\u200be\ufffdf\x07g",
    "x" * 101,
    "x" * 99,
    "unaffable supercalifragilisticexpialidocious antidisestablishmentarianism",
    "",
    " \n\t",
]


def reference() -> Tokenizer:
    """The reference implementation on the same vocabulary, with the teacher's settings."""
    ids = {piece: number for number, piece in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(Reference(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


REFERENCE = reference()
UNKNOWN = VOCABULARY.index("[UNK]")


def reference_ids(text: str) -> list[int]:
    return [number for number in REFERENCE.encode(text, add_special_tokens=False).ids if number != UNKNOWN]


@pytest.mark.parametrize("text", MIXED)
def test_tokens_are_those_of_the_reference_tokenizer(text: str) -> None:
    assert TABLE.tokenizer.ids(text) == reference_ids(text)


def _settled(char: str) -> bool:
    """Whether every version of Unicode agrees on the character: later ones give new ones a meaning."""
    return unicodedata.ucd_3_2_0.category(char) == unicodedata.category(char) != "Cn"


@given(st.text(st.characters(codec="utf-8").filter(_settled), max_size=40))
def test_tokens_are_those_of_the_reference_tokenizer_for_any_text(text: str) -> None:
    assert TABLE.tokenizer.ids(text) == reference_ids(text)


async def test_close_meanings_are_closer_than_far_ones_though_they_share_no_word() -> None:
    embedder = BuiltinEmbedder()
    love, near, far = await embedder.embed(
        ["I love hiking in the mountains", "She enjoys mountain trekking", "The invoice is due on Friday"]
    )
    assert love @ near > 0.4
    assert abs(love @ far) < 0.1
    await embedder.aclose()


async def test_vectors_have_unit_length_and_a_text_of_nothing_known_is_zero() -> None:
    matrix = await BuiltinEmbedder().embed(["Likes tea", "\U0001f9ff", ""])
    assert matrix.shape == (3, 256)
    assert matrix.dtype == np.float32
    assert np.linalg.norm(matrix, axis=1) == pytest.approx([1, 0, 0])
    assert (await BuiltinEmbedder().embed([])).shape == (0, 256)


async def test_a_vector_kept_as_bytes_stays_what_it_was() -> None:
    matrix = await BuiltinEmbedder().embed([*MIXED, "Likes tea"])
    for row, vector in zip(matrix, packed(matrix), strict=True):
        kept = np.frombuffer(vector.codes, np.int8) * np.float32(vector.scale)
        assert kept == pytest.approx(row, abs=vector.scale / 2 + 1e-6)
        assert vector.scale > 0


@pytest.mark.promise("P6")
def test_numpy_is_loaded_by_the_first_text_and_not_before() -> None:
    script = (
        "import sys\n"
        "import mcp_memory.service, mcp_memory.app, mcp_memory.store.sqlite, mcp_memory.server\n"
        "assert not {'numpy', 'openai'} & set(sys.modules), 'loaded too early'\n"
        "import anyio\n"
        "from mcp_memory.embed.builtin import BuiltinEmbedder\n"
        "anyio.run(BuiltinEmbedder().embed, ['tea'])\n"
        "assert 'numpy' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
