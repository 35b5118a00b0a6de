"""Files as people keep them: compressions, encodings, JSON arrays, and limits on what they hold."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.formats import Limits
from kalshi_sim.ingest.sources import Source
from tests.support.wire import book, delta, imported, write

LINES = [book(), *[delta(2 + i, i, size=f"{i}.25") for i in range(300)]]
TEXT = "".join(json.dumps(line) + "\n" for line in LINES).encode()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)  # type: ignore[no-any-return]  # untyped


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zst": zstd,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_compression_gives_the_same_session(tmp_path: Path, packing: str) -> None:
    plain = imported(tmp_path, *LINES)
    path = tmp_path / "packed"
    half = len(TEXT) // 2
    pack = PACKINGS[packing]
    for data in (pack(TEXT), pack(TEXT[:half]) + pack(TEXT[half:])):
        path.write_bytes(data)
        assert import_captures([path], session_id=1).events.equals(plain.events)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_cut_short_file_is_named(tmp_path: Path, packing: str, cut: int) -> None:
    path = tmp_path / "packed"
    path.write_bytes(PACKINGS[packing](TEXT)[:-cut])
    with pytest.raises(DataError, match=f"packed is a damaged or cut-short {packing} file"):
        import_captures([path], session_id=1)


def test_a_gzip_file_padded_with_zeros_is_read(tmp_path: Path) -> None:
    path = tmp_path / "padded.gz"
    path.write_bytes(gzip.compress(TEXT) + b"\0" * 512)
    plain = imported(tmp_path, *LINES)
    assert import_captures([path], session_id=1).events.equals(plain.events)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_windows_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    plain = imported(tmp_path, *LINES)
    path = tmp_path / "windows.jsonl"
    path.write_bytes(marks.get(encoding, b"") + TEXT.decode().encode(encoding))
    assert import_captures([path], session_id=1).events.equals(plain.events)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("as_array", [False, True])
def test_utf_16_without_its_mark_is_read(tmp_path: Path, encoding: str, as_array: bool) -> None:
    plain = imported(tmp_path, *LINES)
    path = tmp_path / "windows.jsonl"
    path.write_bytes((json.dumps(LINES) if as_array else TEXT.decode()).encode(encoding))
    assert import_captures([path], session_id=1).events.equals(plain.events)


def test_archives_are_refused_by_name(tmp_path: Path) -> None:
    capture = write(tmp_path / "capture.jsonl", *LINES)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(capture, "capture.jsonl")
    with pytest.raises(DataError, match=r"a\.zip is a zip archive; unpack it"):
        import_captures([tmp_path / "a.zip"], session_id=1)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(capture, "capture.jsonl")
    with pytest.raises(DataError, match=r"a\.tar\.gz is a tar archive; unpack it"):
        import_captures([tmp_path / "a.tar.gz"], session_id=1)


def test_bytes_that_only_begin_as_utf_16_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xff\xfe" + TEXT.decode().encode("utf-16-le") + b"\0")
    with pytest.raises(DataError, match=r"begins as UTF-16 but is not.*iconv"):
        import_captures([path], session_id=1)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read(tmp_path: Path, indent: int | None) -> None:
    plain = imported(tmp_path, *LINES)
    path = tmp_path / "frames.json"
    path.write_text("\n " + json.dumps(LINES, indent=indent))
    assert import_captures([path], session_id=1).events.equals(plain.events)


def test_an_array_that_is_none_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.json"
    path.write_text(json.dumps(LINES)[:-1])
    with pytest.raises(DataError, match=r"begins with . but is no JSON array"):
        import_captures([path], session_id=1)
    path.write_text(json.dumps(LINES))
    with pytest.raises(DataError, match=r"jq -c '\.\[\]' frames\.json"):
        import_captures([path], session_id=1, limits=Limits(max_line_bytes=1000))


@pytest.mark.parametrize("where", [0, 7])
def test_a_line_longer_than_allowed_is_refused_by_number(tmp_path: Path, where: int) -> None:
    lines: list[str] = [json.dumps(line) for line in LINES[:10]]
    lines[where] = " " * 5000 + lines[where]
    path = write(tmp_path / "long.jsonl", *lines)
    with pytest.raises(DataError, match=f"line {where + 1}: longer than 4,000 bytes"):
        import_captures([path], session_id=1, limits=Limits(max_line_bytes=4000))
    import_captures([path], session_id=1)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(PACKINGS[packing](b"\n" * (32 << 20)))
    with pytest.raises(DataError, match=r"bomb unpacks to more than 1,000,000 bytes"):
        import_captures([path], session_id=1, limits=Limits(max_unpacked_bytes=1_000_000))
    path.write_bytes(PACKINGS[packing](b"0" * (32 << 20)))
    with pytest.raises(DataError, match=r"line 1: longer than 1,000,000 bytes"):
        import_captures([path], session_id=1, limits=Limits(max_line_bytes=1_000_000))


@given(
    st.lists(st.sampled_from((b"\n", b"ab", b"\xff" * 30, b"c\n")), max_size=60).map(b"".join),
    st.sampled_from(list(PACKINGS)),
    st.integers(1, 40),
)
def test_blocks_are_the_bytes_cut_at_lines(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, packing: str, size: int
) -> None:
    data = b"x" + data  # not an array, no byte order mark
    path = tmp_path_factory.mktemp("blocks") / "file"
    path.write_bytes(PACKINGS[packing](data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kalshi_sim.ingest.sources._BLOCK", size)
        blocks = list(Source(path).blocks())
    assert b"".join(text for _, text in blocks) == data
    number = 1
    for first, text in blocks:
        assert first == number
        number += text.count(b"\n")
    assert all(text.endswith(b"\n") for _, text in blocks[:-1])
