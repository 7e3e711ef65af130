"""Publish to the Hub: which files a repo consists of, their cards, and their upload."""
