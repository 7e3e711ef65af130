"""The paper's way from clips to a labelled corpus: people label a part, a trained annotator the rest."""
