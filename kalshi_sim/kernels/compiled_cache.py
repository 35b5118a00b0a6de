"""Numba's cache of compiled kernels on disk, made to notice damage and to do without space."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from numba.core.caching import IndexDataCacheFile

_log = logging.getLogger(__name__)

_DIGEST_BYTES: Final = hashlib.sha256().digest_size


_CacheFile: Any = IndexDataCacheFile


class CheckedCacheFile(_CacheFile):  # type: ignore[misc]  # numba has no types
    """Files with a digest before their content: a damaged one counts as absent, never as code."""

    def load(self, key: Any) -> Any:
        """What is stored for `key`, None if there is nothing or it is damaged."""
        try:
            return super().load(key)
        except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
            _log.warning("a compiled kernel cannot be read and is compiled anew: %s", error)
            Path(self._index_path).unlink(missing_ok=True)
            return None

    def save(self, key: Any, data: Any) -> None:
        """Store a compiled kernel, or go on without.

        Args:
            key: signature, target and code of the kernel, as numba makes it.
            data: the compiled code.
        """
        try:
            super().save(key, data)
        except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
            _log.warning("compiled kernels cannot be kept on disk: %s", error)

    def _load_index(self) -> Any:
        path = Path(self._index_path)
        if not path.exists():
            return {}
        version, stamp, overloads = pickle.loads(_checked(path))
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: Any) -> None:
        data = self._dump((self._version, self._source_stamp, overloads))
        with self._open_for_write(self._index_path) as file:
            file.write(hashlib.sha256(data).digest() + data)

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_checked(Path(self._data_path(name))))

    def _save_data(self, name: str, data: Any) -> None:
        dumped = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(dumped).digest() + dumped)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[BinaryIO]:
        """A temporary file that takes the place of `filepath`; what killed writers left goes."""
        _remove_leftovers(Path(self._cache_path))
        temporary = Path(f"{filepath}.tmp.{uuid.uuid4().hex[:16]}")
        with temporary.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as long as this process lives
            try:
                yield file
                file.flush()
                temporary.replace(filepath)
            finally:
                temporary.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files whose writers are gone; those of others who compile are locked."""
    for path in folder.glob("*.tmp.*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)


def _checked(path: Path) -> bytes:
    """The content of a file of the cache.

    Raises:
        ValueError: it is damaged.
    """
    content = path.read_bytes()
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError(f"{path} is damaged")
    return data


def guard(dispatcher: Any) -> None:
    """Let a compiled function's cache be a checked one."""
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file.__class__ = CheckedCacheFile
