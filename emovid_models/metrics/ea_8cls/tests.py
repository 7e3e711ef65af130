"""Cases in the form of evaluate's metric template: inputs, and the values that must come out."""

test_cases = [
    {
        "predictions": ["amusement", "awe", "fear", "sadness"],
        "references": ["amusement", "awe", "fear", "sadness"],
        "result": {"ea_8cls": 1.0, "ea_2cls": 1.0, "macro_f1": 1.0, "n": 4, "unscored": 0},
    },
    {
        "predictions": [0, 1, 2, 4, 7, 6],
        "references": [0, 1, 1, 5, 7, 3],
        "result": {"ea_8cls": 0.5, "ea_2cls": 5 / 6, "macro_recall": 0.5, "n": 6, "unscored": 0},
    },
    {
        "predictions": ["awe", None, "", "anger"],
        "references": ["awe", "awe", "fear", "anger"],
        "result": {"ea_8cls": 0.5, "ea_2cls": 0.5, "macro_recall": 0.5, "n": 4, "unscored": 2},
    },
    {
        "predictions": [
            [0.5, 0.25, 0.125, 0.125, 0.0, 0.0, 0.0, 0.0],
            [0.1875, 0.1875, 0.1875, 0.125, 0.3125, 0.0, 0.0, 0.0],
        ],
        "references": [0, 1],
        "result": {"ea_8cls": 0.5, "ea_2cls": 0.5, "ea_2cls_prob": 1.0, "brier_score": 0.59375, "n": 2},
    },
    {
        "predictions": [[4.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]],
        "references": ["amusement", "disgust"],
        "result": {"ea_8cls": 1.0, "ea_2cls": 1.0, "scores": "logits", "n": 2, "unscored": 0},
    },
]
