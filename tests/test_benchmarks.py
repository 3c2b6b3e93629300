import gzip
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import abstention, baselines, measures, retrieval
from benchmarks.abstention import names, variants, without
from benchmarks.baselines import fts5, fused, words
from benchmarks.common import Conversation, EvalMemory, EvalQuestion, EvalSet, distinct, read_set, sampled
from benchmarks.measures import Asked, Point, answered, curve, found_at, highest, intervals, ndcg, recall
from benchmarks.retrieval import ALL, OURS, Notes, Row, figures, gained, table
from mcp_memory.config import Config


def conversation(
    memories: dict[str, str], questions: Sequence[tuple[str, list[str]]] = (), user: str = "alice"
) -> Conversation:
    return Conversation(
        id=user,
        memories=[EvalMemory(id=name, text=text) for name, text in memories.items()],
        questions=[EvalQuestion(text=text, evidence=evidence) for text, evidence in questions],
    )


ALICE = conversation(
    {"a1": "Alice plays the cello in a quartet.", "a2": "Alice paints.", "a3": "Alice has a greyhound named Ziggy."},
    [("Which quartet has a cello?", ["a1"]), ("What greyhound is there?", ["a3"]), ("Nothing?", [])],
)
BOB = conversation(
    {"b1": "Bob repairs typewriters.", "b2": "Bob grows dahlias and tulips.", "b3": "Bob rows."},
    [("Who repairs typewriters?", ["b1"]), ("Which dahlias and tulips?", ["b2"])],
    user="bob",
)
PAIR = EvalSet(name="pair", conversations=[ALICE, BOB])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pair.json.gz"
    path.write_bytes(gzip.compress(PAIR.model_dump_json().encode()))
    return path


def history(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("depth", "share"), [(1, 0.0), (2, 1 / 3), (5, 1 / 3), (6, 2 / 3), (20, 2 / 3)])
def test_recall_is_the_share_of_the_evidence_among_the_first_hits(depth: int, share: float) -> None:
    assert recall(["x", "a", "y", "z", "w", "b"], ["a", "b", "missed"], depth) == pytest.approx(share)


@pytest.mark.parametrize(
    ("ranked", "evidence", "gain"),
    [
        ("a", "a", 1.0),
        ("xa", "a", 1 / math.log2(3)),
        ("xxxa", "a", 0.5 / math.log2(math.sqrt(5))),
        ("xayb", "ab", (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))),
        ("ba", "ab", 1.0),
        ("a", "ab", 1 / (1 + 1 / math.log2(3))),
        ("0123456789a", "a", 0.0),
        ("0123456789", "0123456789ab", 1.0),
        ("", "a", 0.0),
    ],
)
def test_ndcg_discounts_by_the_logarithm_of_the_place(ranked: str, evidence: str, gain: float) -> None:
    assert ndcg(list(ranked), list(evidence)) == pytest.approx(gain)


def test_a_question_has_one_number_for_each_column() -> None:
    ranked = [*"abcdefghij", *"klmnopqrst"]
    assert dict(zip(measures.COLUMNS, measures.measures(ranked, ["b", "k"]), strict=True)) == pytest.approx(
        {"recall@1": 0, "recall@5": 0.5, "recall@10": 0.5, "recall@20": 1, "ndcg@10": 1 / (1 + math.log2(3))}
    )


def test_an_interval_is_what_the_normal_approximation_says() -> None:
    chance = random.Random(1)
    rows = [[float(chance.random() < 0.3)] for _ in range(2_000)]
    (found,) = intervals(rows)
    share = sum(value for (value,) in rows) / len(rows)
    half = 1.96 * math.sqrt(share * (1 - share) / len(rows))
    assert found.mean == pytest.approx(share)
    assert (found.low, found.high) == pytest.approx((share - half, share + half), abs=0.1 * half)


def test_intervals_are_the_same_every_time_and_those_of_equal_values_have_no_width() -> None:
    rows = [[number % 3, 0.25] for number in range(50)]
    first, second = intervals(rows), intervals(rows)
    assert first == second
    assert first[0].low < first[0].mean < first[0].high
    assert first[1] == pytest.approx((0.25, 0.25, 0.25))


def test_a_gain_is_judged_question_by_question() -> None:
    ours = [Row("", (float(number % 2),) * 5) for number in range(100)]
    theirs = [Row("", (one.values[0] - 0.1,) * 5) for one in ours]
    for low_and_high in (one[1:] for one in gained(ours, theirs)):
        assert low_and_high == pytest.approx((0.1, 0.1))


def test_figures_are_of_everything_and_of_each_category() -> None:
    rows = [Row("new", (1.0,) * 5), Row("old", (0.0,) * 5), Row("old", (0.5,) * 5)]
    assert {name: one[0].mean for name, one in figures(rows).items()} == {ALL: 0.5, "new": 1.0, "old": 0.25}
    assert list(figures(rows[:1])) == [ALL]


def test_a_table_says_which_bars_are_reached() -> None:
    lines = table({OURS: [Row("", (0.1, 0.5, 0.7, 0.8, 0.6))]}, {"recall@5": 0.61, "recall@10": 0.69})
    (bar,) = (line for line in lines if "bar" in line)
    assert bar.split() == ["bar", "61.0", "below", "69.0", "ok"]


def test_a_cut_off_is_for_the_best_hit_and_half_of_it_for_the_others_and_later_ones_move_up() -> None:
    own = [
        Asked(((0.9, False), (0.5, True), (0.3, True)), 2),
        Asked(((0.1, False), *[(0.8, False)] * 4, (0.7, True)), 1),
    ]
    crossed = [Asked(((0.2, False), (0.6, False))), Asked(()), Asked(((0.35, False),))]
    points = {round(point.cutoff, 3): point for point in curve(own, crossed)}
    assert found_at(own) == 0.5
    assert len(points) == 1_001
    for cutoff, lost, share in [
        (0.0, 0.0, 2 / 3),
        (0.2, 0.0, 2 / 3),  # what has exactly half of it stays
        (0.201, -0.5, 2 / 3),
        (0.35, -0.5, 2 / 3),
        (0.351, -0.5, 1 / 3),
        (0.6, -0.5, 1 / 3),
        (0.601, -0.25, 0.0),
        (0.8, -0.25, 0.0),
        (0.801, 0.25, 0.0),
        (0.9, 0.25, 0.0),
        (0.901, 0.5, 0.0),
        (1.0, 0.5, 0.0),
    ]:
        assert points[cutoff] == pytest.approx((cutoff, lost, share)), cutoff


def test_searches_of_different_periods_are_one_arm() -> None:
    notes = Notes()
    notes.serve(("lexical", "time 2023-01-01/2024-01-01"))
    notes.serve(("lexical", "semantic", "time 2022-05-01/2022-05-02"))
    assert notes.modes == {"lexical", "semantic", "time"}


def test_the_highest_cut_off_of_a_loss_is_the_last_before_more_is_lost() -> None:
    points = [Point(0, 0, 1), Point(0.1, 0.01, 0.9), Point(0.2, 0.02, 0.7), Point(0.3, 0.005, 0.6), Point(0.4, 1, 0)]
    assert [highest(points, loss).cutoff for loss in (0.0, 0.01, 0.02, 1)] == [0, 0.1, 0.3, 0.4]


def test_a_question_with_any_hit_is_answered() -> None:
    assert answered([Asked(((0.0, False),)), Asked(()), Asked(()), Asked(())]) == 0.25


def test_speakers_and_subjects_are_the_names() -> None:
    spoken = {"1": "[1:56 pm on 8 May, 2023] Gina: Hey Jon!", "2": "[2 pm] Jon: The job? Gone."}
    assert sorted(names(conversation(spoken))) == ["Gina", "Jon"]
    facts = {"1": "Mia left.", "2": "The Mia we knew.", "3": "The end.", "4": "User asked.", "5": "User went."}
    assert names(conversation(facts)) == ["Mia"]
    assert names(conversation({"1": "[2023-12-25] 【年】 Bart在圣诞节晚会上跳舞。", "2": "Bartók 演奏"})) == [
        "Bart",
        "Bartók",
    ]
    rare = {str(number): f"nothing {number}" for number in range(9)} | {"9": "Zoe came."}
    assert names(conversation(rare)) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[2 pm] Tim: Hey Gina!", "[2 pm] Hey !"),
        ("When did Gina's sister meet Tim’s?", "When did sister meet ?"),
        ("Timothy told AnnaTim", "Timothy told AnnaTim"),
        ("[2023] Tim在跳舞", "[2023] 在跳舞"),
        ("tim and gina", "tim and gina"),
    ],
)
def test_stripping_takes_a_name_with_its_ending_and_nothing_else(text: str, left: str) -> None:
    assert without(text, ["Tim", "Gina"]) == left


def test_names_are_stripped_from_the_memories_and_questions_of_all_users() -> None:
    talks = [
        conversation({"1": "Mia rows.", "2": "Mia met Bo."}, [("Who is Bo?", ["2"])]),
        conversation({"1": "Bo ran."}, [("Does Mia row?", ["1"])], user="bob"),
    ]
    as_it_is, nameless = variants(EvalSet(name="two", conversations=talks))
    assert (as_it_is.removed, as_it_is.talks) == (None, talks)
    assert nameless.removed == ("Mia", "Bo")
    assert [memory.text for talk in nameless.talks for memory in talk.memories] == ["rows.", "met .", "ran."]
    assert [question.text for talk in nameless.talks for question in talk.questions] == ["Who is ?", "Does row?"]


def test_a_text_given_twice_is_one_memory_and_evidence_follows() -> None:
    given = conversation({"1": "Rows.", "2": "rows. ", "3": "Runs."}, [("?", ["2", "1"]), ("?", ["3"]), ("?", [])])
    once = distinct(given)
    assert [memory.id for memory in once.memories] == ["1", "3"]
    assert [question.evidence for question in once.questions] == [["1"], ["3"]]


def test_a_sample_has_the_same_questions_every_time_and_all_memories() -> None:
    asked = [(f"question {number}", ["1"] if number % 2 else []) for number in range(40)]
    whole = EvalSet(name="s", conversations=[conversation({"1": "x", "2": "y"}, asked, user=str(n)) for n in range(3)])
    some = sampled(whole, 10)
    assert some == sampled(whole, 10)
    assert [question.evidence for talk in some.conversations for question in talk.questions] == [["1"]] * 10
    assert [talk.memories for talk in some.conversations] == [talk.memories for talk in whole.conversations]
    assert sampled(whole, None) == whole
    assert sampled(whole, 1_000) == whole


def test_words_are_distinct_and_without_stop_words_unless_nothing_is_left() -> None:
    assert words("When did Alice meet the CELLO-player Alice_2?") == ["alice", "meet", "cello", "player", "2"]
    assert words("what is it?") == ["what", "is", "it"]
    assert words("?!") == []


def test_fts5_ranks_by_rare_words_and_takes_a_question_as_data() -> None:
    memories = ["painting a barn", "a red barn", "red", "painted red barns"]
    with fts5(memories) as rank:
        assert rank("paint barns") == [0, 3, 1]
        assert rank('NOT "red" AND (blue* NEAR col:x') == [2, 1, 3]
        assert rank("unheard") == []
        assert rank("?") == []


def test_the_fusion_weighs_words_by_the_highest_and_vectors_by_their_range() -> None:
    import numpy as np

    cosine = np.array([0.3, 0.7, 0.5, 0.4])
    assert fused({}, cosine) == [1, 2, 3]  # 0.6, 0.3, 0.15, and nothing
    assert fused({0: 4.0, 3: 3.0}, cosine) == [1, 3, 0, 2]  # 0.6, 0.45, 0.4, 0.3
    assert fused({2: 1.0}, np.array([0.5, 0.5, 0.5])) == [2]


def test_what_is_missing_for_the_comparison_is_said_with_the_way_to_get_it() -> None:
    found, missing = baselines.available()
    assert found[0].name == "FTS5 BM25"
    assert all("pip install" in line for line in missing)
    assert len(found) + len(missing) >= 3


@pytest.mark.parametrize("options", [(), ("--tools",), ("--store", "ephemeral"), ("--embedding", "none")])
def test_a_labelled_set_is_measured_from_end_to_end(
    options: tuple[str, ...], file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "history.jsonl"
    retrieval.main([str(file), *options, "--no-compare", "--json", str(log)])
    (run,) = history(log)
    assert (run["set"], run["memories"], run["questions"]) == ("pair", 6, 4)
    assert run["date"].endswith("Z")
    assert run["figures"][OURS][ALL]["recall@5"] == [1, 1, 1]
    assert "lexical" in run["modes"]
    assert "pair: 6 memories of 2 users, 4 questions" in capsys.readouterr().out


def test_a_history_grows_by_a_line_each_run_and_a_sample_says_so(file: Path, tmp_path: Path) -> None:
    log = tmp_path / "history.jsonl"
    retrieval.main([str(file), "--json", str(log)])
    retrieval.main([str(file), "--no-compare", "--limit-questions", "2", "--json", str(log)])
    whole, sample = history(log)
    assert (whole["questions"], whole["limited"]) == (4, False)
    assert (sample["questions"], sample["limited"]) == (2, True)
    assert whole["figures"]["FTS5 BM25"][ALL]["recall@1"] == [1, 1, 1]
    assert "FTS5 BM25" in whole["gained"]


def test_abstention_is_measured_from_end_to_end(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "history.jsonl"
    abstention.main([str(file), "--json", str(log)])
    named, nameless = history(log)
    assert (named["removed"], nameless["removed"]) == (None, ["Alice", "Bob"])
    for run in (named, nameless):
        assert (run["set"], run["questions"], run["recall@5"]) == ("pair", 4, 1)
        assert run["shipped"]["cutoff"] == Config().search.min_score
        assert run["at_loss"]["0.01"]["answered"] < 1
        shares = [point["answered"] for point in run["curve"]]
        assert len(shares) == 21
        assert shares == sorted(shares, reverse=True)
    assert "pair without Alice, Bob: 4 questions" in capsys.readouterr().out


def test_a_set_of_one_user_cannot_be_crossed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "alone.json.gz"
    alone.write_bytes(gzip.compress(EvalSet(name="alone", conversations=[ALICE]).model_dump_json().encode()))
    assert read_set(alone).conversations == [ALICE]
    abstention.main([str(alone)])
    assert "cannot be asked of another user" in capsys.readouterr().out
