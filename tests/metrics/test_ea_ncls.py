"""EA-Ncls: other emotions than the eight, against scikit-learn and counts by hand."""

import numpy as np
import pytest

from emovid_models.metrics.ea_8cls.ea_8cls import EMOTIONS, compare, score

FIVE = ["joy", "calm", "anger", "fear", "grief"]
SIGNS = ["positive", 0, 1, "Negative", np.int64(1)]


def test_five_emotions_give_ea_5cls_and_valence_only_when_it_is_stated():
    predictions, references = ["joy", " FEAR", None, 4, "calm"], ["joy", "anger", "calm", "Grief", 0]
    result = score(predictions, references, emotions=FIVE, groups=list("aabbb"))
    assert (result["ea_5cls"], result["n"], result["unscored"]) == (0.4, 5, 1)
    assert list(result["per_emotion"]) == FIVE
    assert np.shape(result["confusion_matrix"]) == (5, 5)
    assert [result[name] for name in result if name.startswith("ea_2cls")] == [None] * 4
    assert not any("8cls" in name for name in result)
    assert result["groups"]["a"]["ea_5cls"] == 0.5
    assert result["groups"]["a"]["ea_2cls"] is None
    stated = score(predictions, references, emotions=FIVE, valence=SIGNS, groups=list("aabbb"))
    assert (stated["ea_2cls"], stated["groups"]["a"]["ea_2cls"]) == (0.8, 1.0)
    assert stated["ea_2cls_wilson"][0] < 0.8 < stated["ea_2cls_wilson"][1]


@pytest.mark.parametrize("count", [2, 3, 8, 11, 12, 127])
def test_any_number_of_emotions_agrees_with_scikit_learn(count):
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(count)
    names = [f"emotion-{index}" for index in range(count)]
    truth = random.integers(0, count, 600)
    rows = random.dirichlet(np.ones(count), 600) + 2 * np.eye(count)[truth] * random.integers(0, 2, (600, 1))
    rows /= rows.sum(axis=1, keepdims=True)
    guesses = rows.argmax(axis=1)
    valence = random.permutation(np.arange(count) % 2)
    for predictions in (rows, guesses, [names[guess] for guess in guesses]):
        result = score(predictions, truth, emotions=names, valence=valence.tolist())
        assert result[f"ea_{count}cls"] == metrics.accuracy_score(truth, guesses)
        matrix = metrics.confusion_matrix(truth, guesses, labels=range(count))
        assert result["confusion_matrix"] == matrix.tolist()
        if count > 2:
            assert result["ea_2cls"] == (valence[truth] == valence[guesses]).mean()
    probable = np.stack([rows[:, valence == side].sum(axis=1) for side in (0, 1)], axis=1).argmax(axis=1)
    found = score(rows, truth, emotions=names, valence=valence.tolist())
    assert found["ea_2cls_prob"] == (probable == valence[truth]).mean()
    assert found["brier_score"] == pytest.approx(((rows - np.eye(count)[truth]) ** 2).sum(axis=1).mean())


def test_the_eight_by_name_are_the_eight():
    random = np.random.default_rng(0)
    rows, truth = random.dirichlet(np.ones(8), 50), random.integers(0, 8, 50)
    for emotions in (EMOTIONS, list(EMOTIONS), np.array(EMOTIONS), [name.upper() for name in EMOTIONS]):
        assert score(rows, truth, emotions=emotions) == score(rows, truth)


def test_a_comparison_of_other_emotions():
    found = compare(["joy", "fear"], ["joy", 2], ["joy", "fear"], emotions=FIVE)
    assert (found["a_ea_5cls"], found["b_ea_5cls"], found["a_only"]) == (1.0, 0.5, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"emotions": "joy"}, "emotions is 'joy'; allowed: a list"),
        ({"emotions": 5}, "emotions is 5; allowed: a list"),
        ({"emotions": ["joy"]}, "emotions has 1 values; allowed: 2..127 names"),
        ({"emotions": [str(i) + "x" for i in range(128)]}, "emotions has 128 values; allowed: 2..127 names"),
        ({"emotions": ["joy", " Joy"]}, "emotions[1] is ' Joy', as is emotions[0]; each emotion once"),
        ({"emotions": ["joy", "2"]}, "emotions[1] is '2'; an emotion is a name"),
        ({"emotions": ["joy", None]}, "emotions[1] is None; an emotion is a name"),
        ({"emotions": FIVE, "valence": [0, 1]}, "valence has 2 values, but there are 5 emotions"),
        (
            {"emotions": FIVE, "valence": [0, 0, 1, 1, True]},
            "valence[4] is True; allowed: 0, 1, 'positive', 'negative'",
        ),
        ({"valence": [1] * 8}, "valence[0] is 1, but amusement of the eight has the other"),
        (
            {"emotions": FIVE, "predictions": ["awe"]},
            "predictions[0] is 'awe'; a label is 0..4 or one of joy, calm, anger, fear, grief, or None",
        ),
        (
            {"emotions": FIVE, "references": [5]},
            "references[0] is 5; a label is 0..4 or one of " + ", ".join(FIVE),
        ),
        (
            {"emotions": FIVE, "predictions": [[0.5] * 8]},
            "predictions[0] has 8 values; a row of scores has 5",
        ),
        (
            {"emotions": FIVE, "predictions": [[0.5] * 5], "scores": "probabilities"},
            "predictions[0] sums to 2.5; five probabilities sum to 1",
        ),
    ],
)
def test_wrong_emotions_are_one_line(arguments, message):
    with pytest.raises(ValueError) as error:
        score(**{"predictions": [0], "references": [0], **arguments})
    assert str(error.value) == message


def test_the_module_is_loaded_with_emotions_or_called_with_them(ea_8cls_folder):
    evaluate = pytest.importorskip("evaluate")
    loaded = evaluate.load(str(ea_8cls_folder), emotions=FIVE, valence=SIGNS)
    loaded.add_batch(predictions=["joy", "fear"], references=["joy", "anger"])
    loaded.add(prediction=4, reference="grief")
    with pytest.raises(
        ValueError, match=r"^emotions is \['up', 'down'\], but what was added is of joy, calm"
    ):
        loaded.compute(emotions=["up", "down"])
    result = loaded.compute()
    assert (result["ea_5cls"], result["ea_2cls"]) == (2 / 3, 1.0)
    assert loaded.compare([0], [1], [0])["a_ea_5cls"] == 1.0
    plain = evaluate.load(str(ea_8cls_folder))
    assert (
        plain.compute(predictions=["up"], references=["up"], emotions=["up", "down", "off"])["ea_3cls"] == 1.0
    )
    assert plain.compute(predictions=["awe"], references=["awe"])["ea_8cls"] == 1.0
