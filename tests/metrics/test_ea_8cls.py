"""What EA-8cls returns, and what it refuses."""

import io
import json
import math

import numpy as np
import pytest

from emovid_dataset.schema import emotions
from emovid_models.metrics.ea_8cls import ea_8cls
from emovid_models.metrics.ea_8cls.ea_8cls import compare, mcnemar_p, score, wilson_interval

ROW = [0.5, 0.25, 0.125, 0.125, 0.0, 0.0, 0.0, 0.0]
LABELS = "a label is 0..7 or one of amusement, awe, contentment, excitement, anger, disgust, fear, sadness"


def only_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) in (str, int) and only_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(only_plain, value))
    return value is None or type(value) in (int, float, str)


def test_the_emotions_are_those_of_the_dataset():
    assert ea_8cls.EMOTIONS == emotions.EMOTIONS


@pytest.mark.parametrize(
    "predictions",
    [
        ["awe", "fear", "awe", "sadness"],
        [" Awe", "FEAR", "1", "sadness "],
        [1, 6, 1, 7],
        (1, "fear", np.int8(1), "7"),
        np.array([1, 6, 1, 7], np.uint8),
        np.array([1, 6, 1, 7]),
        np.array(["awe", "fear", "awe", "sadness"]),
        np.array(["awe", 6, "awe", "sadness"], object),
        np.eye(8)[[1, 6, 1, 7]],
        np.eye(8, dtype=np.float16)[[1, 6, 1, 7]],
        [*np.eye(8).tolist()[1:2], list(np.eye(8)[6]), np.eye(8)[1], tuple(np.eye(8)[7])],
        np.eye(8)[[1, 6, 1, 7]] * 9 - 4,
    ],
)
def test_every_form_of_prediction_gives_the_same_shares(predictions):
    result = score(predictions, ["awe", "anger", "contentment", "sadness"])
    assert (result["ea_8cls"], result["ea_2cls"], result["n"], result["unscored"]) == (0.5, 1.0, 4, 0)
    assert result["confusion_matrix"][4] == [0, 0, 0, 0, 0, 0, 1, 0]


def test_tensors_and_columns_of_tables_are_read():
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    datasets = pytest.importorskip("datasets")
    table = pandas.DataFrame({"prediction": ["awe", None], "reference": [1, 2]}, dtype=object)
    column = datasets.Dataset.from_dict({"label": [1, 2]})["label"]
    assert score(torch.tensor([1, 3]), torch.tensor([1, 2]))["ea_8cls"] == 0.5
    assert score(torch.eye(8)[[1, 2]], column)["ea_8cls"] == 1.0
    assert score(table["prediction"], table["reference"])["unscored"] == 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_of_any_precision_and_with_gradients_are_read(dtype):
    torch = pytest.importorskip("torch")
    logits = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    rows = logits.softmax(-1).to(getattr(torch, dtype)).requires_grad_()
    truth = rows.detach().float().argmax(-1)
    for given in (rows, list(rows), rows.tolist()):
        result = score(given, truth, ties="first")
        assert (result["ea_8cls"], result["scores"]) == (1.0, "probabilities")
    assert score(list(truth), list(truth))["ea_8cls"] == 1.0


@pytest.mark.parametrize(
    "dtype", [None, object, "str", "string", "string[pyarrow]", "category"], ids=lambda dtype: str(dtype)
)
def test_nulls_of_pandas_are_unscored(dtype, tmp_path):
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(["awe", None, "fear"], dtype=dtype)
    read_back = pandas.read_csv(io.StringIO("label\nawe\n\nfear\n"), skip_blank_lines=False)["label"]
    for given in (column, column.tolist(), column.to_numpy(), read_back, read_back.tolist()):
        result = score(given, ["awe", "awe", "fear"])
        assert (result["ea_8cls"], result["unscored"]) == (pytest.approx(2 / 3), 1)
    with pytest.raises(ValueError, match=r"^references\[1\] is None;"):
        score(["awe", "awe", "fear"], column)


@pytest.mark.parametrize("dtype", [None, "Int64", "Int8", "float32", object])
def test_indices_with_nulls_of_pandas_stay_whole(dtype):
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1, None, 6], dtype=dtype)
    assert score(column, [1, 1, 6])["unscored"] == 1
    with pytest.raises(ValueError, match=r"^predictions\[0\] is 1\.5;"):
        score(pandas.Series([1.5, None]), [1, 1])


def test_an_unscored_video_is_wrong_counted_and_in_no_column():
    result = score(["awe", None, "", "anger"], ["awe", "awe", "fear", "anger"])
    assert (result["ea_8cls"], result["ea_2cls"], result["n"], result["unscored"]) == (0.5, 0.5, 4, 2)
    assert sum(map(sum, result["confusion_matrix"])) == 2
    assert result["per_emotion"]["awe"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": 2 / 3,
        "support": 2,
        "unscored": 1,
    }
    assert result["per_emotion"]["fear"]["recall"] == 0.0
    assert result["macro_recall"] == 0.5
    masked = np.ma.MaskedArray([1, 6], mask=[False, True])
    assert score(masked, [1, 6])["unscored"] == 1


def test_an_unscored_row_among_scores_is_left_out_of_the_calibration_only():
    alone = score([ROW], [0])
    result = score([ROW, None], [0, 0])
    assert (result["ea_8cls"], result["ea_2cls_prob"], result["unscored"]) == (0.5, 0.5, 1)
    for key in ("brier_score", "expected_calibration_error"):
        assert result[key] == alone[key]
    nothing = score([None, ""], [0, 0])
    assert (nothing["ea_8cls"], nothing["unscored"], nothing["scores"]) == (0.0, 2, None)
    assert nothing["ea_8cls_wilson"][0] == 0.0


def test_undefined_values_are_none_and_macro_is_over_the_emotions_that_occur():
    result = score([0, 0], [0, 1])
    assert result["per_emotion"]["awe"]["precision"] is None
    assert result["per_emotion"]["awe"]["recall"] == 0.0
    assert result["per_emotion"]["fear"]["recall"] is None
    assert result["per_emotion"]["fear"]["f1"] is None
    assert result["macro_recall"] == 0.5
    assert result["macro_precision"] == 0.25
    assert score([0, 0], [0, 1], average=None)["recall"] == [1.0, 0.0] + [None] * 6


def test_the_result_is_plain_and_has_the_same_keys_whatever_is_given():
    results = [
        score([0, 1], [0, 2]),
        score(np.array([ROW, ROW]), [0, 2], groups=np.array([3, 4]), sample_weight=np.array([1, 2.5], "f4")),
        score([None, 1], [0, 1], groups=["a", "b"], average=None),
        score(np.array([5.0, -1, 0, 0, 0, 0, 0, 0])[None], [0], average="micro"),
    ]
    for result in results:
        assert only_plain(result)
        json.dumps(result, allow_nan=False)
        assert list(result) == list(results[0])
    assert only_plain(compare([0, None], [1, 1], [0, 1], groups=["a", "b"]))


def test_groups_are_broken_down_and_make_an_interval():
    result = score([0, 0, 1, None], [0, 0, 1, 1], groups=["x", "x", "a", "a"])
    assert list(result["groups"]) == ["a", "x"]
    assert result["groups"]["a"]["ea_8cls"] == 0.5
    assert result["groups"]["a"]["unscored"] == 1
    assert result["groups"]["x"]["n"] == 2
    assert result["groups"]["x"]["ea_8cls_wilson"] == list(wilson_interval(2, 2))
    assert result["ea_8cls_bootstrap"] == [0.5, 1.0]
    assert score([0, 1], [0, 0], groups=["x", "x"])["ea_8cls_bootstrap"] is None
    far_apart = score([0, 1, 2], [0, 1, 1], groups=np.array([10**12, -5, 10**12]))
    assert far_apart["groups"][10**12]["ea_8cls"] == 0.5
    assert list(score([0, 1], [0, 1], groups=np.array([200, 3], np.uint8))["groups"]) == [3, 200]


def test_weights_weigh_shares_and_the_effective_n_widens_the_interval():
    result = score([0, 1, 1], [0, 1, 2], sample_weight=[1, 2, 1], groups=["a", "a", "b"])
    assert (result["ea_8cls"], result["n"], result["effective_n"]) == (0.75, 3, 16 / 6)
    assert result["confusion_matrix"][1][1] == 2.0
    assert result["ea_8cls_wilson"] == list(wilson_interval(0.75 * 16 / 6, 16 / 6))
    assert result["groups"]["a"]["ea_8cls"] == 1.0
    assert score([0, 1], [0, 1], sample_weight=[1e-100, 1e100])["effective_n"] == 1.0
    assert score([0, 1], [0, 0], sample_weight=[1, 0], groups=["a", "b"])["groups"]["b"]["ea_8cls"] is None


def test_logits_count_as_their_softmax():
    logits = np.log(np.array([[*ROW[:4], 0.25, 0.25, 0.25, 0.25]]) / 2) + 3
    by_probability = score(np.exp(logits - 3), [0])
    by_logit = score(logits, [0])
    assert by_logit["scores"] == "logits"
    assert by_logit["brier_score"] == pytest.approx(by_probability["brier_score"], abs=1e-12)
    forced = score([[1.0, 0, 0, 0, 0, 0, 0, 0]], [0], scores="logits")
    assert forced["expected_calibration_error"] == pytest.approx(1 - math.e / (math.e + 7))


def test_valence_by_probability_may_differ_from_that_of_the_label():
    row = [0.2, 0.19, 0.19, 0.02, 0.4, 0.0, 0.0, 0.0]
    result = score([row], [1])
    assert (result["ea_2cls"], result["ea_2cls_prob"]) == (0.0, 1.0)


def test_published_numbers_stay_out_of_results():
    assert ea_8cls.PUBLISHED_EA_8CLS == {"t2v": 0.4833, "i2v": 0.7625}
    assert "2511.11002" in ea_8cls.PUBLISHED_SOURCE
    text = json.dumps(score([0, 1, 2], [0, 1, 1], groups=[1, 2, 3]))
    assert "0.4833" not in text and "0.7625" not in text


def test_the_same_seed_gives_the_same_interval():
    generator = np.random.default_rng(5)
    guesses, truth, groups = generator.integers(0, 8, (3, 500))
    first = score(guesses, truth, groups=groups, seed=3)
    assert first == score(guesses, truth, groups=groups, seed=3)
    assert first["ea_8cls_bootstrap"] != score(guesses, truth, groups=groups, seed=4)["ea_8cls_bootstrap"]


WRONG = [
    (([0, 9], [0, 1]), {}, f"predictions[1] is 9; {LABELS}, or None"),
    ((np.array([0, -3]), [0, 1]), {}, f"predictions[1] is -3; {LABELS}, or None"),
    (([10**30], [0]), {}, f"predictions[0] is {10**30}; {LABELS}, or None"),
    (([0, 1], [0, 8]), {}, f"references[1] is 8; {LABELS}"),
    (([0, 1], ["awe", None]), {}, f"references[1] is None; {LABELS}"),
    (([0, 1], ["awe", ""]), {}, f"references[1] is ''; {LABELS}"),
    ((["awe", "joy"], [1, 1]), {}, f"predictions[1] is 'joy'; {LABELS}, or None"),
    ((np.array(["awe", "joy"]), [1, 1]), {}, f"predictions[1] is 'joy'; {LABELS}, or None"),
    ((["a\nb" * 99], [1]), {}, "predictions[0] is 'a\\nba\\nba"),
    (([1, 1.7], [1, 1]), {}, f"predictions[1] is 1.7; {LABELS}, or None"),
    (([1, True], [1, 1]), {}, f"predictions[1] is True; {LABELS}, or None"),
    ((np.array([1, np.nan]), [1, 1]), {}, "predictions[0] is 1.0;"),
    (([0, math.nan], [1, 1]), {}, f"predictions[1] is nan; {LABELS}, or None"),
    (([0, 1, 2], [0, 1]), {}, "predictions has 3 values, but references has 2"),
    (([0], [0]), {"groups": ["a", "b"]}, "groups has 2 values, but references has 1"),
    (([0], [0]), {"sample_weight": []}, "sample_weight has 0 values, but references has 1"),
    (([], []), {}, "predictions is empty; at least one row is needed"),
    ((np.empty((0, 8)), np.empty(0)), {}, "predictions is empty; at least one row is needed"),
    ((None, [0]), {}, "predictions is missing"),
    (("awe", [0]), {}, "predictions is 'awe'; allowed: a list or an array of one value per row"),
    ((5, [0]), {}, "predictions is 5; allowed: a list or an array of one value per row"),
    (([0], {"a": 1}), {}, "references is {'a': 1}; allowed: a list or an array of one value per row"),
    (([ROW, ROW[:7]], [0, 0]), {}, "predictions[1] has 7 values; a row of scores has 8"),
    ((np.zeros((2, 7)), [0, 0]), {}, "predictions[0] has 7 values; a row of scores has 8"),
    ((np.zeros((2, 8, 1)), [0, 0]), {}, "predictions has shape (2, 8, 1); allowed: one label per row"),
    (([0], np.zeros((1, 8))), {}, "references[0] sums to 0; eight probabilities sum to 1"),
    (([ROW, "awe"], [0, 0]), {}, "predictions[1] is 'awe', but other rows are eight scores"),
    (([ROW, [*ROW[:7], "0"]], [0, 0]), {}, "predictions[1][7] is '0'; a score is a number"),
    (([ROW, [*ROW[:7], None]], [0, 0]), {}, "predictions[1][7] is None; a score is a number"),
    (([ROW, [*ROW[:7], math.nan]], [0, 0]), {}, "predictions[1][7] is nan; a score is finite"),
    ((np.array([ROW, [*ROW[:7], math.inf]]), [0, 0]), {}, "predictions[1][7] is inf; a score is finite"),
    (([ROW, [0.9, *ROW[1:]]], [0, 0]), {}, "predictions[1] sums to 1.4; eight probabilities sum to 1"),
    (([ROW, [0.2] * 8], [0, 0]), {}, "predictions[1] sums to 1.6; eight probabilities sum to 1"),
    (([ROW, [1.5, -0.5] + [0] * 6], [0, 0]), {}, "predictions[1][0] is 1.5; a probability is 0..1"),
    (([[9.0] + [0] * 7], [0]), {"scores": "probabilities"}, "predictions[0][0] is 9; a probability is 0..1"),
    (([0], [0]), {"scores": "logits"}, "scores is 'logits', but predictions[0] is a label, not a row"),
    (([ROW, [0.25] * 4 + [0] * 4], [0, 0]), {}, "predictions[1] is a tie of amusement and awe at 0.25;"),
    (([[0.3, 0.2, 0, 0, 0.25, 0.25, 0, 0]], [0]), {}, "predictions[0] is a tie of the valences at 0.5;"),
    (([0], [0]), {"groups": [None]}, "groups[0] is None; a group is a text or an integer"),
    (([0], [0]), {"groups": np.array([1.5])}, "groups[0] is 1.5; a group is a text or an integer"),
    (
        ([0, 1], [0, 1]),
        {"sample_weight": [1, -2]},
        "sample_weight[1] is -2.0; a weight is 0 or 1e-100..1e100",
    ),
    (
        ([0, 1], [0, 1]),
        {"sample_weight": [1, math.nan]},
        "sample_weight[1] is nan; a weight is 0 or 1e-100..1e100",
    ),
    (([0, 1], [0, 1]), {"sample_weight": [1, "2"]}, "sample_weight[1] is '2'; a weight is a number"),
    (([0, 1], [0, 1]), {"sample_weight": [0, 0]}, "sample_weight[0] is 0, as are all others"),
    (([0], [0]), {"confidence_level": 95}, "confidence_level is 95; allowed: between 0 and 1"),
    (([0], [0]), {"average": "mean"}, "average is 'mean'; allowed: 'macro', 'weighted', 'micro', None"),
    (([0], [0]), {"ties": "last"}, "ties is 'last'; allowed: 'error', 'first'"),
    (([0], [0]), {"scores": None}, "scores is None; allowed: 'auto', 'probabilities', 'logits'"),
    (([0], [0]), {"resamples": 0}, "resamples is 0; allowed: a whole number, 1 or more"),
    (([0], [0]), {"seed": -1}, "seed is -1; allowed: a whole number, 0 or more"),
]


@pytest.mark.parametrize(("inputs", "options", "message"), WRONG)
def test_wrong_input_is_one_line_that_names_argument_position_and_value(inputs, options, message):
    with pytest.raises(ValueError) as caught:
        score(*inputs, **options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_tie_can_go_to_the_first():
    result = score([[0.3, 0.2, 0, 0, 0.3, 0.2, 0, 0]], [0], ties="first")
    assert (result["ea_8cls"], result["ea_2cls_prob"]) == (1.0, 1.0)


def test_compare_counts_pairs_and_names_the_system_at_fault():
    result = compare([0, 1, 2, None], [0, 0, 0, 3], [0, 1, 2, 3])
    assert [result[key] for key in ("both", "a_only", "b_only", "neither", "n")] == [1, 2, 1, 0, 4]
    assert (result["a_unscored"], result["b_unscored"]) == (1, 0)
    assert result["difference"] == 0.25
    assert result["mcnemar_p"] == 1.0
    with pytest.raises(ValueError, match=r"^b\[1\] is 9; a label"):
        compare([0, 1], [0, 9], [0, 1])
    with pytest.raises(ValueError, match=r"^a has 1 values, but references has 2$"):
        compare([0], [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"^a is empty"):
        compare([], [], [])


def test_compare_of_a_system_with_itself_finds_nothing():
    guesses = np.random.default_rng(1).integers(0, 8, 300)
    truth = np.random.default_rng(2).integers(0, 8, 300)
    result = compare(guesses, guesses, truth)
    assert (result["difference"], result["difference_bootstrap"], result["mcnemar_p"]) == (0, [0, 0], 1)


def test_intervals_refuse_impossible_counts():
    for arguments, message in (
        ((3, 2), "successes is 3; allowed: 0..2"),
        ((0, 0), "n is 0; allowed: a number above 0"),
        ((1, 2, 1.5), "confidence_level is 1.5; allowed: between 0 and 1"),
    ):
        with pytest.raises(ValueError) as caught:
            wilson_interval(*arguments)
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"^b_only is -1; allowed: a whole number, 0 or more$"):
        mcnemar_p(3, -1)


@pytest.mark.parametrize("dtype", [np.int64, np.int8])
def test_large_arrays_need_less_memory_than_twice_themselves(dtype):
    import tracemalloc

    guesses, truth = np.random.default_rng(0).integers(0, 8, (2, 3_000_000)).astype(dtype)
    score(guesses[:10], truth[:10])
    tracemalloc.start()
    score(guesses, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * (guesses.nbytes + truth.nbytes)
