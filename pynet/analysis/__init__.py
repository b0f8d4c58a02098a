"""Looking into networks: what they consist of and what they need."""

from .summary import Layer, Summary, summary

__all__ = ["Layer", "Summary", "summary"]
