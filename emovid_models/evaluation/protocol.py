"""The former name of this package's public names."""

from emovid_models.evaluation import __dir__, __getattr__

__all__ = ["__dir__", "__getattr__"]
