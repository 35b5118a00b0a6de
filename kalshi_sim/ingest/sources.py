"""Files as recorders leave them, read block by block: plain or compressed, UTF-8 or UTF-16."""

from __future__ import annotations

import bz2
import codecs
import hashlib
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from zlib_ng import zlib_ng

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.formats import Limits
from kalshi_sim.ingest.segments import HEAD as SEGMENT_HEAD

_BLOCK: Final = 1 << 21
"""Bytes read and decoded at a time: enough that threads seldom wait for Python's lock."""
_HEAD: Final = 1 << 16
_PACKED: Final = 16
_NEWLINE: Final = ord("\n")
_SYNCED: Final = 64
"""Zeros at the end of a file that no compressed data end in: blocks a power cut left unwritten."""
_BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
_UTF_16: Final = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"{\0": "utf-16-le",
    b"[\0": "utf-16-le",
    b"\0{": "utf-16-be",
    b"\0[": "utf-16-be",
}
"""How UTF-16 begins, with its mark or without."""
_ARCHIVES: Final = ((0, b"PK\x03\x04", "zip"), (257, b"ustar", "tar"), (0, b"7z\xbc\xaf", "7z"))
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_zlib: Any = zlib_ng  # its published types lack a method, and have an object for a class
_DAMAGED: Final = (EOFError, OSError, _zlib.error, lzma.LZMAError)


class _Gzip:
    """A gzip file of one or several members, as a stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unpack = _zlib.decompressobj(_zlib.MAX_WBITS | 16)
        self._waiting = b""
        self._members = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        while True:
            packed = self._waiting or self._file.read(_BLOCK)
            if self._unpack.eof:
                packed = packed.lstrip(b"\0")  # some writers pad their files with zeros
                if not packed:
                    if not self._file.read(1):
                        return b""
                    raise OSError("zeros between its parts")
                self._unpack = _zlib.decompressobj(_zlib.MAX_WBITS | 16)
            if not packed:
                raise EOFError("it ends within the compressed data")
            before = self._unpack.copy()
            try:
                out: bytes = self._unpack.decompress(packed, size)
            except _zlib.error:  # after what is whole, zeros: blocks that were never written
                whole = packed.rstrip(b"\0")
                if len(packed) - len(whole) < _SYNCED or not whole:
                    raise
                self._unpack = before
                out = self._unpack.decompress(whole, size)
            self._waiting = self._unpack.unconsumed_tail or self._unpack.unused_data
            if out:
                return out


def _zstd(file: BinaryIO) -> object:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")


@dataclass(frozen=True)
class _Packing:
    name: str
    magic: bytes
    tool: str
    """What unpacks as much of a damaged file as there is."""
    open: Callable[[BinaryIO], object]


_PACKINGS: Final = (
    _Packing("gzip", b"\x1f\x8b", "zcat", _Gzip),
    _Packing("zst", b"\x28\xb5\x2f\xfd", "zstdcat", _zstd),
    _Packing("xz", b"\xfd7zXZ\x00", "xzcat", lzma.open),
    _Packing("bz2", b"BZh", "bzcat", bz2.open),
)


def _lines_in(block: bytes) -> int:
    """How many lines end in it; other threads go on meanwhile, unlike with `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE))


class Source:
    """One file of an import. `read_so_far` is how many of its `size` bytes on disk were read.

    Raises:
        DataError: the file is not there or cannot be looked at.
    """

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        """Open a file of recordings and find how it is compressed.

        Args:
            path: the file.
            limits: longest line and most bytes to unpack; None for the defaults.

        Raises:
            DataError: it cannot be opened.
        """
        self.path = Path(path)
        self.limits = limits or Limits()
        self.read_so_far = 0
        self._head: bytes | None = None
        try:
            self.size = self.path.stat().st_size
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}; check the path") from error
        with self._opened() as file:
            self._start = file.read(_HEAD)
        self._packing = next((p for p in _PACKINGS if self._start.startswith(p.magic)), None)

    @property
    def name(self) -> str:
        """The file's name, for sentences."""
        return self.path.name

    @property
    def likely_bytes(self) -> int:
        """About how many bytes it has unpacked: frames as text are packed to a sixteenth."""
        return self.size * (_PACKED if self._packing else 1)

    def head(self) -> bytes:
        """The first bytes of its content, unpacked and as UTF-8 if it is text."""
        if self._head is None:
            self._head = next(self.chunks(_HEAD), b"")[:_HEAD]
        return self._head

    def same_as(self, other: Source) -> bool:
        """Whether the two hold the same bytes."""
        if self.size != other.size or self._start != other._start:
            return False
        return self._digest() == other._digest()

    def chunks(self, size: int | None = None) -> Iterator[bytes]:
        """The content in pieces: unpacked, UTF-16 as UTF-8, no byte order mark.

        Args:
            size: bytes of a piece as they are unpacked; None for what is decoded at a time.

        Raises:
            DataError: it cannot be read, is damaged, or unpacks to more than is allowed.
        """
        pieces = self._unpacked(size or _BLOCK)
        first = next(pieces, b"")
        while 0 < len(first) < len(_BYTE_ORDER_MARK) and (more := next(pieces, b"")):
            first += more
        for place, magic, kind in _ARCHIVES:
            if first.startswith(magic, place):
                raise DataError(f"{self.path} is a {kind} archive; unpack it, import what is in it")
        encoding = _UTF_16.get(first[:2])
        if encoding is not None:
            yield from self._from_utf_16(encoding, first, pieces)
            return
        yield first.removeprefix(_BYTE_ORDER_MARK)
        yield from pieces

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Blocks of whole lines, and the number of each block's first line.

        The elements of a file that is one JSON array are given as its lines.

        Raises:
            DataError: as `chunks`, or a line is longer than is allowed.
        """
        if self.head().lstrip().startswith(b"["):
            yield 1, self._array()
            return
        number = 1
        waiting: list[bytes] = []
        length = 0
        limit = self.limits.max_line_bytes
        for chunk in self.chunks():
            cut = chunk.rfind(b"\n") + 1
            if cut:
                block = b"".join([*waiting, chunk[:cut]])
                if len(block) > limit:
                    self._check_lines(number, block)
                yield number, block
                number += _lines_in(block)
                waiting, length = [], 0
            if cut < len(chunk):
                waiting.append(chunk[cut:])
                length += len(chunk) - cut
            if length > limit:
                self._too_long(number)
        if length:
            yield number, b"".join(waiting)

    def _array(self) -> bytes:
        """A JSON array's elements, one a line; it must not be larger than one line may be."""
        parts: list[bytes] = []
        length = 0
        for chunk in self.chunks():
            parts.append(chunk)
            length += len(chunk)
            if length > self.limits.max_line_bytes:
                raise DataError(
                    f"{self.path} is one JSON array of more than "
                    f"{self.limits.max_line_bytes:,} bytes; write a frame a line "
                    f"(jq -c '.[]' {self.name} > frames.jsonl), or allow more with "
                    "--max-line-bytes"
                )
        try:
            elements = _ARRAY.decode(b"".join(parts))
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(
                f"{self.path} begins with [ but is no JSON array ({error}); write a frame a line"
            ) from error
        return b"\n".join(bytes(e).replace(b"\r", b" ").replace(b"\n", b" ") for e in elements)

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(
                f"{self.path}: {error.strerror or error}; give capture files"
            ) from error

    def _unpacked(self, size: int) -> Iterator[bytes]:
        packing = self._packing
        with self._opened() as file:
            if packing is None:
                while chunk := file.read(size):
                    self.read_so_far = file.tell()
                    yield chunk
                return
            total = 0
            segment = False
            try:
                stream = packing.open(file)
                while chunk := stream.read(size):  # type: ignore[attr-defined]  # all have read
                    self.read_so_far = min(file.tell(), self.size)
                    segment |= total == 0 and chunk.startswith(SEGMENT_HEAD)
                    total += len(chunk)
                    if total > self.limits.max_unpacked_bytes:
                        raise DataError(
                            f"{self.path} unpacks to more than "
                            f"{self.limits.max_unpacked_bytes:,} bytes; if that is right, allow "
                            "more with --max-unpacked-bytes"
                        )
                    yield chunk
            except _DAMAGED as error:
                if segment and self._is_cut_short(error):
                    return
                raise DataError(
                    f"{self.path} is a damaged or cut-short {packing.name} file ({error}); fetch "
                    f"it again, or unpack what is left ({packing.tool} {self.name} > part.jsonl) "
                    "and import that with --max-bad-lines 1"
                ) from error
            self.read_so_far = self.size

    def _is_cut_short(self, error: Exception) -> bool:
        """Whether a segment ends so as a kill or a power cut leaves it: cut, or in zeros."""
        if isinstance(error, EOFError):
            return True
        with self._opened() as file:
            file.seek(max(0, self.size - _SYNCED))
            return file.read(_SYNCED).strip(b"\0") == b""

    def _from_utf_16(self, encoding: str, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            yield decoder.decode(first).encode()
            for chunk in rest:
                yield decoder.decode(chunk).encode()
            yield decoder.decode(b"", final=True).encode()
        except UnicodeError as error:
            raise DataError(
                f"{self.path} begins as UTF-16 but is not ({error}); "
                f"convert it (iconv -f utf-16 -t utf-8 {self.name} > capture.jsonl)"
            ) from error

    def _check_lines(self, number: int, block: bytes) -> None:
        for i, line in enumerate(block.split(b"\n")):
            if len(line) > self.limits.max_line_bytes:
                self._too_long(number + i)

    def _too_long(self, number: int) -> None:
        raise DataError(
            f"{self.path}, line {number}: longer than {self.limits.max_line_bytes:,} bytes, so it "
            "is no frame of the exchange; if it is right, allow more with --max-line-bytes"
        )

    def _digest(self) -> bytes:
        digest = hashlib.blake2b()
        with self._opened() as file:
            while chunk := file.read(_BLOCK):
                digest.update(chunk)
        return digest.digest()
