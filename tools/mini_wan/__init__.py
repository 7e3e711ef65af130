"""Train the miniature Wan2.1 from scratch: the VAE, the tokenizer, and the T2V and I2V transformers.

All of it in diffusers' and transformers' own classes, saved in the layout that the stock pipelines load. The
text encoder keeps its random weights: with a closed set of short captions it only has to tell words apart,
and words that the base never sees, those for moods, are then as far apart as any others.

Everything random in a step is a function of the seed and of the step's number, so that a run that resumes
from a checkpoint takes the same steps as one that was never interrupted. `tools.reproduce` runs the training.
"""
