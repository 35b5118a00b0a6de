"""The errors this library raises. Every message says what was wrong, where, and what to do."""

from __future__ import annotations


class KalshiSimError(Exception):
    """Base of all errors that a user's data, settings or environment can cause."""


class ConfigError(KalshiSimError, ValueError):
    """A setting is outside its allowed range, or settings contradict each other."""


class DataError(KalshiSimError, ValueError):
    """Recorded data that cannot be right, named by file, line, market or session."""


class StoreError(KalshiSimError, RuntimeError):
    """A store cannot be opened, read or written."""


class SessionNotFoundError(StoreError, LookupError):
    """The store holds no such session, or the session no such market."""


class NoViewsError(KalshiSimError, ValueError):
    """No market of the sessions has enough rows for an episode."""


class ClusterError(KalshiSimError, RuntimeError):
    """A cluster lost what it was working on too often, or is gone."""


class MissingExtraError(KalshiSimError, ModuleNotFoundError):
    """A library that an extra of the package installs is not there."""
