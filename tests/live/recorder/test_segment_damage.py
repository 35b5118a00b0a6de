"""Damage of segments: found, or told with what it costs; never taken for what was recorded."""

from __future__ import annotations

import gzip
import random
import zlib
from pathlib import Path

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.formats import Limits
from kalshi_sim.ingest.segment_sums import SumReader, SumWriter
from kalshi_sim.ingest.segments import connection_number
from kalshi_sim.ingest.sources import Source
from kalshi_sim.session import EventKind, Session
from tests.live.recorder.test_segments import at, delta, line, snapshot, write

LINES = [line(1, snapshot(1)), *(line(n, delta(n, n)) for n in range(2, 60))]
FEW = 7
"""Lines that are written at once."""


def killed(path: Path, lines: list[bytes] = LINES, *, sums: bool = True) -> Path:
    """A segment as a kill leaves it, of a writer that wrote a few lines at a time."""
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    writer, out = SumWriter(), b""
    head = b'{"kalshi_sim_segment":1,"run":1,"number":1,"began_ns":0,"url":"","use_yes_price":false'
    head += b',"sums":true}\n' if sums else b"}\n"
    for some in ([head], *(lines[i : i + FEW] for i in range(0, len(lines), FEW))):
        text = writer.with_sums(some, at(0)) if sums else b"".join(some)
        out += packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    path.write_bytes(out)
    return path


def unpacked(path: Path) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(path.read_bytes())


def sizes(session: Session) -> list[int]:
    """What is read of it, but for where it ends."""
    return [int(size) for size in session.events.size[session.events.kind != EventKind.GAP]]


def test_a_killed_segment_is_read_to_its_last_checksum(tmp_path: Path) -> None:
    whole = import_captures([write(tmp_path / "r", *LINES)], session_id=1)
    path = killed(tmp_path / "a.jsonl.gz")
    session = import_captures([path], session_id=1)
    assert sizes(session) == sizes(whole)
    note = session.quality.notes[0]
    assert note.startswith("a.jsonl.gz was not ended by its recorder")
    assert "left out" not in note
    assert "recorder sum" not in session.quality.other_frames
    text = unpacked(path)
    cut = text[: text.rindex(b'{"marked_ts_ns"')]  # before the last checksum
    path.write_bytes(gzip.compress(cut))
    session = import_captures([path], session_id=1)
    assert sizes(session) == sizes(whole)[: -(len(LINES) % FEW)]
    told = len(b"".join(LINES[-(len(LINES) % FEW) :]))
    assert f"; {told:,} bytes without a checksum left out" in session.quality.notes[0]


def test_segments_of_earlier_recorders_have_no_checksums(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.jsonl.gz", sums=False)
    assert b"crc32" not in unpacked(path)
    session = import_captures([path], session_id=1)
    assert sizes(session) == sizes(import_captures([killed(tmp_path / "b.jsonl.gz")], session_id=1))


def test_what_is_changed_in_a_killed_segment_is_found(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.jsonl.gz")
    text = unpacked(path)
    rng = random.Random(2)
    places = [text.index(word) for word in (b"crc32", b'"sum"', b"sums", b"marked", b"0.4000")]
    last = text.rindex(b'{"marked_ts_ns"')  # nothing else is read of the last checksum's line
    for place in [*places, *rng.sample(range(last), 40)]:
        changed = bytearray(text)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(gzip.compress(changed)[:-8])
        with pytest.raises(DataError, match=r"a\.jsonl\.gz"):
            import_captures([path], session_id=1)


def test_a_flipped_bit_of_a_killed_segment_is_found_or_told(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.jsonl.gz")
    good, packed = import_captures([path], session_id=1), path.read_bytes()
    rng = random.Random(1)
    found = 0
    for _ in range(150):
        changed = bytearray(packed)
        changed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            session = import_captures([path], session_id=1)
        except DataError:
            found += 1
            continue
        read = sizes(session)
        assert read == sizes(good)[: len(read)]
        assert len(read) == len(sizes(good)) or "left out" in session.quality.notes[0]
    assert found > 140


def test_the_message_says_how_much_is_whole(tmp_path: Path) -> None:
    path = killed(tmp_path / "a.jsonl.gz")
    text = unpacked(path).replace(b'"seq": 40,', b'"seq": 41,')
    path.write_bytes(gzip.compress(text))
    whole = text[: text.index(b'"seq": 41,')].rindex(b"crc32")
    n = text.count(b"\n", 0, whole) + 1
    with pytest.raises(DataError, match=rf"damaged after line {n}: .*first {n} lines are whole"):
        import_captures([path], session_id=1)
    kept = tmp_path / "part.jsonl"
    kept.write_bytes(b"".join(text.splitlines(keepends=True)[:n]))
    assert len(import_captures([kept], session_id=1).events) > 20


def test_segments_that_were_joined_are_read_one_after_the_other(tmp_path: Path) -> None:
    first = killed(tmp_path / "a.jsonl.gz")
    second = connection_number(2, 1)
    lines = [line(90, snapshot(1), second), line(91, delta(2, 91), second)]
    text = unpacked(first) + LINES[-1] + unpacked(killed(tmp_path / "b.jsonl.gz", lines))
    joined = tmp_path / "joined.jsonl"
    joined.write_bytes(text)
    session = import_captures([joined], session_id=1)
    apart = [import_captures([tmp_path / f"{n}.jsonl.gz"], session_id=1) for n in "ab"]
    assert sizes(session) == [*sizes(apart[0]), *sizes(apart[1])]
    assert f"; {len(LINES[-1])} bytes without a checksum left out" in session.quality.notes[0]


def test_lines_wait_for_their_checksum_within_bounds(tmp_path: Path) -> None:
    """A file made to fill the memory has none."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    reader = SumReader(Source(path, Limits(max_line_bytes=1000)), sums=True)
    block = LINES[1] * (2**22 // len(LINES[1]))
    assert [reader.take(block) for _ in range(2)] == [b"", b""]
    with pytest.raises(DataError, match="damaged after line 0"):
        reader.take(block)
    large = [LINES[1]] * (2**23 // len(LINES[1]))
    text = SumWriter().with_sums(large, at(0))
    assert text.count(b"crc32") == 2
    written = SumReader(Source(path), sums=True)
    assert written.take(text).count(b"\n") == len(large) + 2
