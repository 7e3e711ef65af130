"""What made the miniatures that ship in the packages, one package per product, and what checks the code.

- `mini_corpus`: the embedded corpus, `emovid_dataset/mini`
- `mini_annotator`: the annotator, `emovid_models/mini/annotator`
- `mini_wan`: the Wan bases, from scratch; `reproduce` runs their training
- `reproduce`: the whole chain from clips to table, which ships the bases and LoRAs with their results
- `reproduction_page`: `docs/reproduction.md`
- `import_graph`: the picture of the imports in CONTRIBUTING.md
- `same_build`: compares two builds

Run them from the repository's root, as in `python -m tools.mini_corpus check`; none of it is installed.
"""
