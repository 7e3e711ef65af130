"""Analyses of a corpus, each with its uncertainty: emotions, colour, order in films, captions, sound."""
