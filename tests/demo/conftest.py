"""Fixtures of the demo's tests; they live in a module whose name no other folder has."""

from demo_space import opened

__all__ = ["opened"]
