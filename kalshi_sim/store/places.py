"""Places of objects, behind Arrow's file systems: S3, Google Cloud, Azure, and those of fsspec.

Every object is written once, whole, under a name of its own; what is to be seen of it is decided
by a small object that is written last (`kalshi_sim.store.objects`, `kalshi_sim.shared_tapes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs as pafs

from kalshi_sim.errors import ConfigError, MissingExtraError, StoreError
from kalshi_sim.store.urls import mask_addresses, without_password
from kalshi_sim.text import printable

_ADVICE: Final = (
    "; check the address, the network and the credentials (AWS_ACCESS_KEY_ID and the like, or the "
    "files of the provider's own tools)"
)


class ObjectPlace:
    """A bucket and a path in it. Pickles as its address.

    Raises:
        ConfigError: the address cannot be understood.
        MissingExtraError: fsspec, or what it needs for this address, is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.shown = without_password(address)
        try:
            self._system, root = pafs.FileSystem.from_uri(address)
        except ImportError as error:
            module = error.name or "fsspec"
            raise MissingExtraError(f"{self.shown} needs {module}; pip install it") from None
        except (ValueError, OSError, pa.ArrowException):  # the message may repeat the address
            raise ConfigError(
                f"{self.shown} cannot be understood; it should be like s3://bucket/path, "
                "gs://bucket/path, abfs://container@account.dfs.core.windows.net/path"
            ) from None
        self._root = root.rstrip("/")
        self._has_folders = isinstance(self._system, pafs.PyFileSystem)
        if not self._root and not self._has_folders:
            raise ConfigError(f"{self.shown} names no bucket; it should be like s3://bucket/path")

    def __repr__(self) -> str:
        return f"ObjectPlace({self.shown!r})"

    def __reduce__(self) -> Any:
        return type(self), (self.address,)

    def path(self, name: str) -> str:
        """Of an object, as messages show it.

        Args:
            name: of the object, below the place.
        """
        base, _, query = self.shown.partition("?")
        return f"{base.rstrip('/')}/{name}{'?' + query if query else ''}"

    def names(self, folder: str = "") -> dict[str, float]:
        """The objects in a folder, not those below it.

        Args:
            folder: below the place.

        Returns:
            When each was written, in seconds since the epoch as the store's clock has it, by name.

        Raises:
            StoreError: the place cannot be read.
        """
        where = f"{self._root}/{folder}".rstrip("/")
        with self._failures("read"):
            found = self._system.get_file_info(pafs.FileSelector(where, allow_not_found=True))
        if not found:
            self._check_bucket()
        return {
            info.base_name: 0.0 if info.mtime is None else info.mtime.timestamp()
            for info in found
            if info.type == pafs.FileType.File
        }

    def _check_bucket(self) -> None:
        """Distinguish a bucket that is not there from one in which nothing is.

        Raises:
            StoreError: it is not there.
        """
        if self._has_folders:  # made where it is missing
            return
        bucket = self._root.partition("/")[0]
        try:
            info = self._system.get_file_info(bucket)
        except (OSError, pa.ArrowException):  # who may list it need not see it
            return
        if info.type == pafs.FileType.NotFound:
            raise StoreError(f"cannot read {self.shown}: there is no bucket {printable(bucket)}")

    def exists(self, name: str) -> bool:
        """Whether there is an object.

        Args:
            name: of the object, below the place.

        Raises:
            StoreError: the place cannot be read.
        """
        with self._failures("read"):
            info = self._system.get_file_info(f"{self._root}/{name}")
        return bool(info.type == pafs.FileType.File)

    def read(self, name: str) -> bytes | None:
        """All of an object, None if there is none.

        Args:
            name: of the object, below the place.

        Raises:
            StoreError: the place cannot be read.
        """
        try:
            with self._failures("read"), self._system.open_input_stream(self._full(name)) as stream:
                data: bytes = stream.read()
        except FileNotFoundError:
            return None
        return data

    def open(self, name: str) -> Any:
        """An object as an Arrow file, whose parts are fetched as they are read.

        Args:
            name: of the object, below the place.

        Raises:
            OSError: it cannot be opened.
        """
        return self._system.open_input_file(self._full(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A new object; what is left of it if the block fails must not be seen.

        Args:
            name: of the object, below the place.

        Yields:
            A stream of bytes.

        Raises:
            StoreError: the place cannot be written.
        """
        full = self._full(name)
        try:
            with self._failures("write to"):
                if self._has_folders:
                    self._system.create_dir(full.rpartition("/")[0], recursive=True)
                with self._system.open_output_stream(full) as stream:
                    yield stream
        except FileNotFoundError:
            bucket = printable(self._root.partition("/")[0])
            raise StoreError(f"cannot write to {self.shown}: there is no bucket {bucket}") from None

    def write(self, name: str, data: bytes) -> None:
        """A small object, in one request: there whole or not at all.

        Args:
            name: of the object, below the place.
            data: its bytes.

        Raises:
            StoreError: the place cannot be written.
        """
        with self.writing(name) as stream:
            stream.write(data)

    def delete(self, name: str) -> None:
        """Remove an object, if it is there.

        Args:
            name: of the object, below the place.

        Raises:
            StoreError: the place cannot be written.
        """
        with suppress(FileNotFoundError), self._failures("write to"):
            self._system.delete_file(self._full(name))

    def _full(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Inside the block what the file system says becomes one line without credentials."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            said = mask_addresses(printable((str(error).splitlines() or [""])[0]))
            raise StoreError(f"cannot {what} {self.shown}: {said}{_ADVICE}") from None
