"""The annotator: a pipeline that gives every video eight probabilities, bulk annotation, and training."""
