"""Écluse: a secure international information-exchange gateway."""

__version__ = "0.1.0"
