"""What is wrong with a capture is named: malformed lines, damaged files, no book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.capture import import_captures
from tests.support.wire import (
    MARKET,
    T0,
    book,
    delta,
    frame,
    imported,
    received,
    snapshot,
    trade,
    write,
)

MALFORMED = {
    "no JSON": '{"type":"orderbook_delta"',
    "a price of 0": delta(2, 0, price="0.0000"),
    "a price of 1": delta(2, 0, price="1.0000"),
    "a negative price": delta(2, 0, price="-0.4000"),
    "too fine a price": delta(2, 0, price="0.40001"),
    "a price that is no number": delta(2, 0, price="abc"),
    "a size that is no number": delta(2, 0, size="1e"),
    "an exponent beyond all sizes": delta(2, 0, size="1e99"),
    "too large a size": delta(2, 0, size="1" * 30),
    "an unknown side": delta(2, 0, side="maybe"),
    "no side": frame("orderbook_delta", 2, market_ticker=MARKET, price=40, delta=1),
    "no ticker": frame("orderbook_delta", 2, price=40, delta=1, side="yes"),
    "no price": frame("orderbook_delta", 2, market_ticker=MARKET, delta=1, side="yes"),
    "no size": frame("orderbook_delta", 2, market_ticker=MARKET, price=40, side="yes"),
    "no message": {"type": "orderbook_delta", "sid": 1, "seq": 2},
    "a REST book of nothing known": {"orderbook": 7},
    "a level at 0": snapshot(2, [["0.0000", "1.00"]]),
    "a level at 1": snapshot(2, [["1.0000", "1.00"]]),
    "no taker": trade(1, 0, taker=""),
    "a negative count": trade(1, 0, size="-1.00"),
    "a negative level": snapshot(2, [["0.4000", "-1.00"]]),
    "a level of three": frame("orderbook_snapshot", 2, market_ticker=MARKET, yes=[[1, 2, 3]]),
    "a bad time": {**delta(2, None), "msg": {**delta(2, None)["msg"], "ts": "yesterday"}},
    "an impossible day": {
        **delta(2, None),
        "msg": {**delta(2, None)["msg"], "ts": "2026-02-30T00:00:00Z"},
    },
    "a time without zone": {
        **delta(2, None),
        "msg": {**delta(2, None)["msg"], "ts": "2026-02-03T00:00:00.5"},
    },
    "a time too late": delta(2, 10**15),
    "a time too early": received(delta(2, None), -2 * T0),
    "a list": "[1, 2]",
    "an envelope around nothing": {"recv_ts_ns": 1, "raw": "nonsense"},
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_named_by_file_and_number(
    tmp_path: Path, line: dict[str, Any] | str
) -> None:
    path = write(tmp_path / "capture.jsonl", book(), delta(2, 0), "", line, delta(3, 1))
    with pytest.raises(DataError, match=r"capture\.jsonl, line 4: ") as caught:
        import_captures([path], session_id=1)
    assert "--max-bad-lines" in str(caught.value)
    session = import_captures([path], session_id=1, max_bad_lines=1)
    assert session.quality.bad_lines == 1
    assert session.quality.total.deltas == 2
    assert any("line 4" in note for note in session.quality.notes)


def test_bytes_that_are_no_text_are_malformed(tmp_path: Path) -> None:
    path = write(tmp_path / "capture.jsonl", book(), delta(2, 0, market="HERE"))
    path.write_bytes(path.read_bytes().replace(b"HERE", b"\xff\xfe"))
    with pytest.raises(DataError, match="line 2"):
        import_captures([path], session_id=1)


def test_more_malformed_lines_than_allowed_fail(tmp_path: Path) -> None:
    lines: list[Any] = [book(), "x", delta(2, 0), "y", delta(3, 1), "z"]
    with pytest.raises(DataError, match="line 6"):
        imported(tmp_path, *lines, max_bad_lines=2)
    assert imported(tmp_path, *lines, max_bad_lines=3).quality.bad_lines == 3


def test_a_cut_short_gzip_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", book(), *[delta(2 + i, i) for i in range(200)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz is a damaged or cut-short gzip file"):
        import_captures([path], session_id=1)


def test_files_without_a_book_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no order book frame"):
        imported(tmp_path, {"type": "ok", "id": 1})
    with pytest.raises(DataError, match="no order book frame"):
        imported(tmp_path)
    with pytest.raises(DataError, match="trades alone, and no order book frame in 2 frames"):
        imported(tmp_path, trade(1, 0), trade(2, 1))
    with pytest.raises(DataError, match="check the path"):
        import_captures([tmp_path / "nowhere.jsonl"], session_id=1)
    with pytest.raises(DataError, match="no capture files"):
        import_captures([], session_id=1)
