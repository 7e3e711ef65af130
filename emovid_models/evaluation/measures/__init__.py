"""The measures of the paper's table beside EA: FVD, CLIP score, first-frame consistency, temporal flicker.

Each has a file with its formula, range, direction and source, as a pure function on uint8 frames or on
features. `clip_model` and `videomae_model` load the networks that the features come from;
`emovid_models.evaluation.measuring` applies all of them to many videos.
"""
