"""Segments: every line that was put is read again, whatever ended the writing."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.gaps import gaps_text
from kalshi_sim.ingest.capture import import_captures
from kalshi_sim.ingest.segments import (
    Header,
    connection_number,
    frame_line,
    frame_of,
    marker_line,
    segments_in,
)
from kalshi_sim.ingest.sources import Source
from kalshi_sim.live.interface import MAX_MESSAGE_BYTES
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from kalshi_sim.session import EventKind, Session

HEADER = Header(run=0, number=0, began_ns=0, url="ws://127.0.0.1/", use_yes_price=False)
T0 = 1_773_864_000_000
MARKET = "KXGAME-26MAR18AB-A"
QUICK = WriterOptions(flush_seconds=0.05, floor_bytes=0)
FIRST = connection_number(1, 1)


def frame(kind: str, seq: int | None, sid: int | None = 1, **message: Any) -> bytes:
    whole: dict[str, Any] = {"type": kind, "sid": sid, "seq": seq, "msg": message}
    return json.dumps({k: v for k, v in whole.items() if v is not None and v != {}}).encode()


def snapshot(seq: int, size: str = "100.00", sid: int = 1) -> bytes:
    levels = {"yes_dollars_fp": [["0.4000", size]], "no_dollars_fp": [["0.5500", "80.00"]]}
    return frame("orderbook_snapshot", seq, sid, market_ticker=MARKET, **levels)


def delta(seq: int, ms: int, size: str = "5.00", sid: int = 1) -> bytes:
    told = {"price_dollars": "0.4000", "delta_fp": size, "side": "yes", "ts_ms": T0 + ms}
    return frame("orderbook_delta", seq, sid, market_ticker=MARKET, **told)


def at(ms: int) -> int:
    return (T0 + ms) * 1_000_000


def line(ms: int, data: bytes, connection: int = FIRST) -> bytes:
    return frame_line(at(ms), ms, connection, data)


def marker(ms: int, name: str, connection: int = FIRST, **what: Any) -> bytes:
    return marker_line(at(ms), ms, connection, name, **what)


def write(folder: Path, *lines: bytes, close: bool = True) -> Path:
    writer = SegmentWriter(folder, HEADER, QUICK)
    for text in lines:
        assert writer.put(text)
    writer.close()
    path = writer.written.segments[-1]
    if not close:  # as a kill leaves it: what the last sync ended with
        text = gzip.decompress(path.read_bytes()).rsplit(b"\n", 3)[0] + b"\n"
        packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        path.write_bytes(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
    return path


def kinds(session: Session) -> list[int]:
    return [k for k in session.events.kind.tolist() if k != EventKind.LEVEL]


def test_frames_of_any_bytes_come_back_as_they_were(tmp_path: Path) -> None:
    odd = [
        snapshot(1),
        b'{"type":"x",\n "pretty": 1}\r\n',
        b"no json at all",
        b"\xff\xfe binary",
        b'{"text":"quotes \\" and },raw:"}',
        '{"title":"é—漢"}'.encode(),
        b"",
    ]
    path = write(tmp_path, *(line(i, data) for i, data in enumerate(odd)))
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    assert [f for f in map(frame_of, lines) if f is not None] == odd
    assert all(isinstance(json.loads(text), dict) for text in lines)
    assert json.loads(lines[0])["url"] == "ws://127.0.0.1/"


def test_a_segment_is_imported_with_its_receive_times_and_markers(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        marker(0, "open"),
        line(1, b'{"type":"subscribed","id":1,"msg":{"channel":"orderbook_delta","sid":1}}'),
        line(2, snapshot(1)),
        line(3, delta(2, 3)),
        line(4, delta(4, 4)),  # 3 is missing: the books are unknown
        line(5, snapshot(5, "70.00")),
        marker(6, "end", sid=1, channel="orderbook_delta"),
        line(9, snapshot(1, "60.00"), connection=FIRST + 1),
        line(10, delta(2, 10, "-5.00"), connection=FIRST + 1),
    )
    session = import_captures([path], session_id=1)
    assert kinds(session) == [
        EventKind.SNAPSHOT,
        EventKind.DELTA,
        EventKind.GAP,
        EventKind.DELTA,
        EventKind.SNAPSHOT,
        EventKind.GAP,
        EventKind.SNAPSHOT,
        EventKind.DELTA,
    ]
    snapshots = session.events[session.events.kind == EventKind.SNAPSHOT]
    assert snapshots.ts_ms.tolist() == [T0 + 2, T0 + 5, T0 + 9]
    assert len(set(snapshots.sid.tolist())) == 2
    assert session.quality.other_frames["recorder open"] == 1
    assert session.quality.gaps_checked


def test_the_end_of_a_recording_is_no_gap_to_a_reader_and_no_doubt(tmp_path: Path) -> None:
    """The event is there, so that a following run does not continue the book."""
    path = write(
        tmp_path,
        line(1, snapshot(1)),
        line(2, delta(3, 2)),
        line(3, snapshot(4)),
        *(line(3 + n, delta(4 + 2 * n, 3 + n)) for n in range(1, 30)),
        marker(60, "end", sid=1, channel="orderbook_delta"),
    )
    session = import_captures([path], session_id=1)
    assert kinds(session)[-1] == EventKind.GAP
    assert session.quality.total.gaps == 31
    assert gaps_text(session) == "30, and 1 market ended with the recording"
    assert not [note for note in session.quality.notes if "seq" in note or "whole" in note]
    copied = tmp_path / "other.jsonl"
    plain = [
        json.loads(text)["raw"]
        for text in gzip.decompress(path.read_bytes()).split(b"\n")
        if b'"raw"' in text
    ]
    copied.write_text("".join(json.dumps(frame) + "\n" for frame in plain), "utf-8")
    session = import_captures([copied], session_id=1, whole_subscription=True)
    (note,) = [note for note in session.quality.notes if "whole" in note]
    assert note.startswith("30 gaps in 32 frames")


def test_two_connections_with_the_same_sid_are_told_apart(tmp_path: Path) -> None:
    """Both are subscriptions number 1 of their connection, and their numbers meet."""
    other = MARKET.replace("-A", "-B").encode()
    mine, theirs = MARKET.encode(), other
    path = write(
        tmp_path,
        line(1, snapshot(1)),
        line(2, snapshot(1).replace(mine, theirs), connection=FIRST + 1),
        line(3, delta(2, 3)),
        line(4, delta(2, 4).replace(mine, theirs), connection=FIRST + 1),
        line(5, delta(3, 5)),
        line(6, delta(4, 6).replace(mine, theirs), connection=FIRST + 1),
    )
    session = import_captures([path], session_id=1)
    gaps = {name: q.gaps for name, q in session.quality.markets.items()}
    assert gaps == {MARKET: 0, other.decode(): 1}


def test_a_connection_goes_on_in_the_next_segment(tmp_path: Path) -> None:
    clock = [at(0)]
    writer = SegmentWriter(tmp_path, HEADER, QUICK, wall_ns=lambda: clock[0])
    writer.put(line(1, snapshot(1)))
    wait_for(writer, 1)
    clock[0] += 3_600_000_000_000
    writer.put(line(2, delta(2, 2)))
    wait_for(writer, 2)
    writer.close()
    assert [p.name[:19] for p in segments_in(tmp_path)] == [
        "segment-0001-000001",
        "segment-0001-000002",
    ]
    session = import_captures(segments_in(tmp_path), session_id=1)
    assert kinds(session) == [EventKind.SNAPSHOT, EventKind.DELTA]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for(writer: SegmentWriter, segments: int) -> None:
    until(lambda: not writer.waiting_bytes and len(writer.written.segments) >= segments)
    time.sleep(2 * QUICK.flush_seconds)


@pytest.mark.parametrize("tail", ["sync", "byte", "half a line", "zeros"])
def test_a_cut_segment_is_read_to_its_last_whole_line(tmp_path: Path, tail: str) -> None:
    path = write(tmp_path, line(1, snapshot(1)), line(2, delta(2, 2)), close=False)
    packed = path.read_bytes()
    if tail == "byte":
        packed = packed[:-1]
    elif tail == "half a line":
        text = gzip_so_far(packed) + line(3, delta(3, 3))[:-20]
        packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        packed = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    elif tail == "zeros":
        packed += bytes(4096)
    path.write_bytes(packed)
    later = write(tmp_path, line(9, snapshot(1, "60.00"), connection=connection_number(2, 1)))
    session = import_captures([path, later], session_id=1)
    assert kinds(session) == [
        EventKind.SNAPSHOT,
        EventKind.DELTA,
        EventKind.GAP,
        EventKind.SNAPSHOT,
    ]


def gzip_so_far(packed: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed)


def test_a_segment_damaged_within_is_refused(tmp_path: Path) -> None:
    lines = [line(i, snapshot(i, f"{i * 7919 % 1000}.00")) for i in range(1, 2000)]
    path = write(tmp_path, *lines)
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2 : len(packed) // 2 + 8] = b"\x55" * 8
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged"):
        import_captures([path], session_id=1)


def test_a_frame_that_is_no_json_is_counted_and_its_number_missed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        line(1, snapshot(1)),
        line(2, b"{garbage}"),
        line(3, delta(3, 3)),
    )
    session = import_captures([path], session_id=1)
    assert kinds(session) == [EventKind.SNAPSHOT, EventKind.GAP, EventKind.DELTA]
    assert session.quality.other_frames["refused frame"] == 1


def test_yes_terms_are_read_from_the_header(tmp_path: Path) -> None:
    writer = SegmentWriter(
        tmp_path, Header(run=0, number=0, began_ns=0, url="", use_yes_price=True), QUICK
    )
    writer.put(line(1, snapshot(1)))
    writer.close()
    session = import_captures(segments_in(tmp_path), session_id=1)
    levels = session.events[session.events.kind == EventKind.LEVEL]
    assert levels.price.tolist() == [4000, 4500]
    plain = write(tmp_path / "other", line(1, snapshot(1)))
    with pytest.raises(DataError, match="use_yes_price"):
        import_captures([*segments_in(tmp_path), plain], session_id=1)


def test_a_restart_writes_new_segments_beside_the_old(tmp_path: Path) -> None:
    first = write(tmp_path, line(1, snapshot(1)))
    before = first.read_bytes()
    second = write(tmp_path, line(2, snapshot(1)))
    assert first.read_bytes() == before
    assert [p.name[8:12] for p in (first, second)] == ["0001", "0002"]


def test_two_recorders_do_not_share_a_folder(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, HEADER, QUICK)
    with pytest.raises(ConfigError, match="another recorder"):
        SegmentWriter(tmp_path, HEADER, QUICK)
    writer.close()


def test_a_full_queue_drops_and_counts_without_waiting(tmp_path: Path) -> None:
    options = WriterOptions(flush_seconds=5, queue_bytes=1000, floor_bytes=0)
    writer = SegmentWriter(tmp_path, HEADER, options)
    text = line(1, snapshot(1))
    begun = time.monotonic()
    taken = [writer.put(text) for _ in range(50)]
    assert time.monotonic() - begun < 1
    assert sum(taken) == 1000 // len(text)
    assert writer.written.dropped == 50 - sum(taken)
    assert writer.put(marker(2, "drop"), always=True)
    writer.close()
    (path,) = segments_in(tmp_path)
    assert gzip.decompress(path.read_bytes()).count(b'"recv_ts_ns"') == sum(taken)


def test_below_the_floor_writing_stops_and_goes_on_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor lies above what the disk has; lowering it is room that came back."""
    writer = SegmentWriter(tmp_path, HEADER, WriterOptions(flush_seconds=0.05, floor_bytes=0))
    writer.put(line(1, snapshot(1)))
    wait_for(writer, 1)
    writer.options.floor_bytes = 2**62
    until(lambda: writer.full)
    assert not writer.put(line(2, delta(2, 2)))
    writer.options.floor_bytes = 0
    until(lambda: not writer.full)
    assert writer.put(line(3, delta(3, 3)))
    writer.close()
    texts = [gzip.decompress(p.read_bytes()) for p in segments_in(tmp_path)]
    assert [b"disk-full" in text for text in texts] == [True, False]
    assert [text.count(b'"recv_ts_ns"') for text in texts] == [1, 1]


KILLED = """
import sys, time
from pathlib import Path
from kalshi_sim.ingest.segments import frame_line
from kalshi_sim.live.recorder.writer import SegmentWriter, WriterOptions
from tests.live.recorder.test_segments import HEADER, delta, snapshot, FIRST
writer = SegmentWriter(Path(sys.argv[1]), HEADER, WriterOptions(floor_bytes=0))
seq = 0
while True:
    seq += 1
    now = time.time_ns()
    frame = snapshot(1) if seq == 1 else delta(seq, seq)
    writer.put(frame_line(now, time.monotonic_ns(), FIRST, frame))
    print(seq, now, flush=True)
    time.sleep(0.002)
"""


def test_a_kill_takes_at_most_the_last_second(tmp_path: Path) -> None:
    for nth in range(3):
        folder = tmp_path / str(nth)
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "."},
        ) as child:
            assert child.stdout is not None
            told = [child.stdout.readline()]
            time.sleep(0.7 + 0.31 * nth)
            child.send_signal(signal.SIGKILL)
            told += child.stdout.read().splitlines()
        sent = [tuple(map(int, text.split())) for text in told if len(text.split()) == 2]
        killed_ns = sent[-1][1]
        (path,) = segments_in(folder)
        text = b"".join(Source(path).chunks())
        found = {json.loads(f)["seq"] for f in map(frame_of, text.splitlines()) if f}
        must = {seq for seq, ns in sent if ns < killed_ns - 1_000_000_000}
        assert must <= found
        assert found <= {seq for seq, _ in sent} | {sent[-1][0] + 1}
        session = import_captures([path], session_id=1)
        assert len(session.events[session.events.kind == EventKind.DELTA]) == len(found) - 1


def test_what_the_exchange_listed_of_a_market_is_known_from_then_on(tmp_path: Path) -> None:
    ranges = [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}]
    listed = {"close_time": "2026-03-19T02:00:00.500Z", "price_ranges": ranges}
    moved = {**listed, "close_time": "2026-03-19T03:00:00Z"}
    path = write(
        tmp_path,
        marker(0, "market", 0, ticker=MARKET, event_ticker="KXGAME-26MAR18AB", **listed),
        line(10, snapshot(1)),
        marker(60_000, "market", 0, ticker=MARKET, event_ticker=None, **moved),
        line(61_000, delta(2, 61_000)),
    )
    session = import_captures([path], session_id=1)
    (market,) = session.markets
    closes = [1_773_885_600_500, 1_773_889_200_000]
    assert market.close_updates == ((T0, closes[0]), (T0 + 60_000, closes[1]))
    assert market.price_ranges == ((0, 10_000, 10),)
    assert session.quality.total.gaps == 0


def test_the_largest_message_of_the_exchange_is_imported(tmp_path: Path) -> None:
    first = snapshot(1)
    largest = first[:-1] + b" " * (MAX_MESSAGE_BYTES - len(first)) + first[-1:]
    assert len(largest) == MAX_MESSAGE_BYTES
    session = import_captures([write(tmp_path, line(0, largest))], session_id=1)
    assert kinds(session)[0] == EventKind.SNAPSHOT


def test_equal_changes_of_one_socket_are_no_second_socket(tmp_path: Path) -> None:
    """Its numbers are those of one connection, however few and alike its changes are."""
    frames = [snapshot(1), delta(2, 2), delta(3, 2), delta(4, 2), delta(3, 2)]
    path = write(tmp_path, *(line(i, frame) for i, frame in enumerate(frames)))
    session = import_captures([path], session_id=1)
    assert kinds(session).count(EventKind.DELTA) == 3
