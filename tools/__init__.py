"""What made the miniatures that ship in the packages: one package per product.

- `mini_corpus`: the embedded corpus, `emovid_dataset/mini`
- `mini_annotator`: the annotator, `emovid_models/mini/annotator`
- `mini_wan`: the Wan bases, from scratch
- `reproduce`: the whole chain from clips to table, which ships the bases and LoRAs with their results
- `reproduction_page`: `docs/reproduction.md`

Run them from the repository's root, as in `python -m tools.mini_corpus check`; none of it is installed.
"""
