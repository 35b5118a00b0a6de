"""The scanner reads exactly what the decoder reads, and leaves the rest to it."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim.ingest.batch import Batch
from kalshi_sim.ingest.decoding import MALFORMED, FrameDecoder
from kalshi_sim.ingest.reading import Recording, read_captures
from kalshi_sim.ingest.scanning import scanner, words
from kalshi_sim.ingest.scanning.batches import scanned_batch
from kalshi_sim.ingest.scanning.scanner import scan
from kalshi_sim.ingest.scanning.trade_ids import trade_number, trade_numbers

pytestmark = pytest.mark.kernel

TICKERS = ["KXNBAGAME-26MAR18ATLDAL-ATL", "A", "KX-é", "", "KXNBAGAME-26MAR18ATLDAL-DAL"]
TIMES: list[object] = [
    "2026-03-18T19:36:06.826123Z",
    "2026-03-18T19:36:06Z",
    "2024-02-29T00:00:00.1Z",
    "2023-02-29T00:00:00.1Z",
    "2026-03-18T24:00:00Z",
    "2026-03-18T19:36:06.Z",
    "2026-03-18T19:36:06.826+00:00",
    "2019-03-18T19:36:06Z",
    1_773_862_566,
    1_773_862_566_826,
    1_773_862_566.5,
    "1773862566",
    -1,
    99_999_999_999,
    253_402_300_800_000,
    None,
    True,
]
PRICES: list[object] = [
    *("0.4200", "0.42", "0.4", "0.42001", "0.420000", "1.0000", "0.0000", "-0.5", ".5", "0.", "5."),
    *(
        "42",
        42,
        0.42,
        0.0001,
        1,
        0,
        "",
        "abc",
        " 0.42",
        "4e-1",
        None,
        True,
        [1],
        1e-5,
        0.30000000001,
    ),
]
SIZES: list[object] = [
    *("13.00", "-54.25", "1503393.00", "0.00", "1.005", "12345678901234567", "99999999999.99"),
    *(5, -5, 1.5, "7", "-0.00", "", None, False, "1,000.00", 10**15, 10**20, "00012.5"),
]
SIDES: list[object] = ["yes", "no", "YES", "NO", "bid", "ask", "Yes", "", None, 1]
NUMBERS: list[object] = [1, 0, 36, -1, None, "7", 1.5, True, 10**18, 10**19, 2**63 - 1, [1]]
RECEIVED: list[tuple[str, object]] = [
    ("recv_ts_ns", 1_778_687_783_414_420_992),
    ("recv_ts_ns", 9_999_999_999_999_999_999),
    ("recv_ts_us", 1_778_687_783_414_420),
    ("recv_ts_ms", 1_778_687_783_414),
    ("recv_ts_ms", "1778687783414"),
    ("recv_ts", 1_778_687_783),
    ("recv_ts", 1_778_687_783.25),
    ("received_at", "2026-05-13T15:56:23.324057Z"),
    ("received_at", 12),
    ("recv_ts_ms", -1),
    ("recv_ts_ms", None),
    ("sending_ts_ms", 1_778_687_783_414),
    ("sending_ts_ms", True),
    ("sending_ts_ms", "1778687783414"),
]


def pick(values: Sequence[object]) -> st.SearchStrategy[object]:
    """Mostly the first, which is as usual."""
    return st.one_of(st.just(values[0]), st.just(values[0]), st.sampled_from(values))


@st.composite
def messages(draw: st.DrawFn, kind: str) -> dict[str, object]:
    message: dict[str, object] = {"market_ticker": draw(pick(TICKERS))}
    if draw(st.booleans()):
        message["market_id"] = draw(pick(["6531426a", "\u00e9", None, 1.5e3, {"a": 1}, "\\"]))
    if kind == "trade":
        for key in draw(
            st.sampled_from(
                [
                    ("yes_price_dollars", "no_price_dollars"),
                    ("yes_price_dollars",),
                    ("no_price_dollars",),
                    ("yes_price", "no_price"),
                    ("yes_price",),
                    (),
                ]
            )
        ):
            message[key] = draw(pick(PRICES if "dollars" in key else [42, *PRICES]))
        message[draw(st.sampled_from(["count_fp", "count"]))] = draw(pick(SIZES))
        for key in ("taker_outcome_side", "taker_book_side", "taker_side"):
            if draw(st.booleans()):
                message[key] = draw(pick(SIDES))
        if draw(st.booleans()):
            message["trade_id"] = draw(pick(["d9a1", "d9a2", "", "é", 7, None, 1.5, True]))
        if draw(st.booleans()):
            message["is_block_trade"] = draw(pick([False, True, None, "true", 1, 0, 1.5]))
    else:
        message[draw(st.sampled_from(["price_dollars", "price"]))] = draw(pick(PRICES))
        message[draw(st.sampled_from(["delta_fp", "delta"]))] = draw(pick(SIZES))
        message["side"] = draw(pick(SIDES))
    for key in draw(st.sampled_from([("ts",), ("ts_ms",), ("ts", "ts_ms"), ()])):
        message[key] = draw(pick([1_773_862_566_826, *TIMES] if key == "ts_ms" else TIMES))
    if draw(st.integers(0, 9)) == 0:
        message[draw(st.sampled_from((*words._WORDS[1:], "unknown")))] = draw(pick(NUMBERS))
    return message


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    kind = draw(
        pick(["orderbook_delta", "orderbook_delta", "trade", "orderbook_snapshot", "ticker", None])
    )
    frame: dict[str, object] = {
        "type": kind,
        "sid": draw(pick(NUMBERS)),
        "seq": draw(pick(NUMBERS)),
        "msg": draw(messages("trade" if kind == "trade" else "orderbook_delta")),
    }
    if kind == "trade" or draw(st.booleans()):
        frame = dict(draw(st.permutations(list(frame.items()))))
    around: dict[str, object] = dict(draw(st.lists(st.sampled_from(RECEIVED), max_size=2)))
    shape = draw(st.sampled_from(["bare", "bare", "beside", "text", "object"]))
    compact = draw(st.booleans())
    separators = (",", ":") if compact else (", ", ": ")

    def text(value: object) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=draw(st.booleans()))

    if shape == "bare":
        out = text(frame)
    elif shape == "beside":
        out = text({**around, **frame})
    else:
        out = text({**around, "raw": text(frame) if shape == "text" else frame})
    line = bytearray(out.encode())
    if draw(st.integers(0, 4)) == 0:  # damaged anywhere
        at = draw(st.integers(0, len(line) - 1))
        change = draw(
            st.sampled_from([b"", b'"', b"\\", b"}", b"{", b",", b"0", b"-", b"\t", b"\xc3"])
        )
        line[at : at + draw(st.integers(0, 1))] = change
    return bytes(line) + draw(st.sampled_from([b"", b"", b"\r", b" "]))


def told(batch: Batch, decoder: FrameDecoder) -> list[object]:
    """All that a batch says, with names for the numbers of markets."""
    names = [*map(str, decoder.tickers), None]
    out: list[object] = []
    for field in fields(Batch):
        values = getattr(batch, field.name)
        if field.name == "market":
            out.append([names[m] for m in values.tolist()])
        elif isinstance(values, np.ndarray):
            out.append((values.dtype, values.tolist()))
        else:
            out.append(values)
    return [*out, sorted(decoder.noticed.items()), decoder.values.rounded]


def check(text: bytes, use_yes_price: bool = False, nearest_tick: bool = False) -> None:
    """The scanner and the decoder read the same, or both call a line malformed."""
    slow = FrameDecoder(use_yes_price=use_yes_price, nearest_tick=nearest_tick)
    fast = FrameDecoder(use_yes_price=use_yes_price, nearest_tick=nearest_tick)
    try:
        expected = told(slow.decode(text), slow)
    except MALFORMED:
        with pytest.raises(MALFORMED):
            scanned_batch(scan(text), fast)
        return
    assert told(scanned_batch(scan(text), fast), fast) == expected


def _equal(a: Recording, b: Recording) -> None:
    for field in fields(Batch):
        left, right = getattr(a.frames, field.name), getattr(b.frames, field.name)
        if field.name == "market":
            left = np.array([*a.tickers, ""])[left]
            right = np.array([*b.tickers, ""])[right]
        assert np.array_equal(left, right), field.name
    assert (a.files, a.notes, a.bad_lines, a.polled) == (b.files, b.notes, b.bad_lines, b.polled)
    assert np.array_equal(a.file_of, b.file_of)


@given(st.lists(lines(), max_size=5), st.booleans(), st.booleans())
def test_the_scanner_equals_the_decoder(
    some: list[bytes], use_yes_price: bool, nearest_tick: bool
) -> None:
    check(b"\n".join(some), use_yes_price, nearest_tick)


USUAL = (
    b'{"type":"orderbook_delta","sid":1,"seq":36,"msg":{"market_ticker":"KXA","market_id":"65",'
    b'"price_dollars":"0.2500","delta_fp":"-6.00","side":"no","ts":"2026-03-18T19:36:00.520599Z"}}'
)


def single_changes() -> list[bytes]:
    """Lines in which one value is odd, of a bare delta, a trade and an enveloped delta."""
    delta: dict[str, Any] = json.loads(USUAL)
    fields_of_trade = {
        "market_ticker": "KXA",
        "count_fp": "3.00",
        "yes_price_dollars": "0.4000",
        "no_price_dollars": "0.6000",
        "yes_price": 40,
        "no_price": 60,
        "taker_side": "no",
        "trade_id": "d9a1",
        "is_block_trade": True,
        "ts": 1_773_862_566,
    }
    trade: dict[str, Any] = {"type": "trade", "sid": 2, "seq": 5, "msg": fields_of_trade}
    odd: dict[str, Sequence[object]] = {
        **dict.fromkeys(("price_dollars", "yes_price_dollars", "no_price_dollars"), PRICES),
        **{key: [42, 100, *PRICES] for key in ("price", "yes_price", "no_price")},
        **dict.fromkeys(("delta_fp", "delta", "count_fp", "count"), SIZES),
        **dict.fromkeys(("side", "taker_side", "taker_book_side", "taker_outcome_side"), SIDES),
        **dict.fromkeys(("ts", "ts_ms"), TIMES),
        "market_ticker": [*TICKERS, None, 7],
        "trade_id": ["é", 7, None, 1.5, True],
        "is_block_trade": [False, None, "true", 1, 1.5],
        "type": ["trade", None],
        "unknown": [None, True, False, 1, 1.5, -2, {"a": 1}, [1], "text", "\\"],
    }
    out = []
    for frame in (delta, trade):
        for key, values in odd.items():
            for value in (*values, _MISSING):
                message = {k: v for k, v in frame["msg"].items() if k != key}
                message |= {} if value is _MISSING else {key: value}
                out.append({**frame, "msg": message})
        for key in ("sid", "seq", "type", "msg", "market_ticker", "raw", "sending_ts_ms"):
            out += [{**frame, key: value} for value in NUMBERS]
        bare = {**frame, "msg": {k: v for k, v in frame["msg"].items() if k != "ts"}}
        out += [{**bare, key: value} for key, value in RECEIVED]
        out += [{key: value, "raw": bare} for key, value in RECEIVED]
        out += [{**dict([r]), "recv_ts": 1_778_687_783, "raw": frame} for r in RECEIVED]
    return [json.dumps(frame).encode() for frame in out]


_MISSING = object()


def test_one_odd_value_is_read_as_the_decoder_reads_it() -> None:
    for line in single_changes():
        check(line)
        check(b"\n".join([USUAL, line, USUAL]), use_yes_price=True)


@pytest.mark.parametrize(
    "text",
    [
        USUAL.replace(b"36", b"1."),
        USUAL.replace(b'"36', b'"1.5.'),
        b'{"sid":',
        b'{"type":"trade","msg":{"market_ticker":"KXA","count":3,"no_price":60,"taker_side":"yes"}}',
        b'{"type":"trade","msg":{"market_ticker":"KXA","count":3,"no_price":60,"taker_side":"no"}}',
    ],
)
def test_odd_text_is_read_as_the_decoder_reads_it(text: bytes) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        USUAL + b"\n" + json.dumps(json.loads(USUAL), indent=1).encode(),
        b'{"raw":\n' + USUAL + b"\n}",
        b'{"type":"ticker",\n"msg":[\n' + USUAL + b"\n]}",
    ],
)
def test_a_frame_over_several_lines_is_read_as_the_decoder_reads_it(
    text: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "capture.jsonl"
    file.write_bytes(text + b"\n")
    _equal(read_captures([file], scan=False), read_captures([file], scan=True))


def test_small_recordings_are_not_worth_compiling_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "is_warm", lambda *_: False)
    assert not scanner.pays(1 << 20)
    assert scanner.pays(1 << 30)


def test_one_damaged_byte_is_read_as_the_decoder_reads_it() -> None:
    around = json.dumps({"recv_ts_ms": 1_778_687_783_414, "raw": USUAL.decode()}).encode()
    for line in (USUAL, around):
        for at in range(len(line)):
            for change in (b"", b'"', b"\\", b"}", b"0", b"\xc3"):
                check(line[:at] + change + line[at + 1 :])


@pytest.mark.parametrize(
    "line",
    [
        USUAL,
        json.dumps({"recv_ts_ns": 1_778_687_783_414_420_992, "raw": USUAL.decode()}).encode(),
        b'{"received_at": "2026-03-18T19:36:00.6Z", "raw": ' + USUAL + b"}",
        (
            b' {"type": "trade", "msg": {"market_ticker": "KXA", "count": 3, "yes_price": 40,'
            b' "no_price": 60, "taker_side": "yes", "ts": 1773862566}}\r'
        ),
    ],
)
def test_usual_lines_are_not_left_to_the_decoder(line: bytes) -> None:
    scanned = scan(b"\n" + line + b"\n\n" + line)
    assert scanned.left.tolist() == []
    assert scanned.columns.shape[1] == 2
    assert scanned.tickers == ["KXA"]


def test_a_block_of_short_lines_is_scanned_whole() -> None:
    check(b"\n".join([b'{"type":"ok"}', b"{}", b"", USUAL] * 50))
    scanned = scan(b"{}\n" * 500 + USUAL)
    assert scanned.columns.shape[1] == 501
    assert scanned.left.tolist() == list(range(500))
    enveloped = json.dumps({"raw": USUAL.decode()}).encode()
    check(b"\n".join([enveloped, *[b"{}"] * 500, enveloped]))


def test_a_line_is_left_when_a_block_has_too_many_markets() -> None:
    some = [USUAL.replace(b"KXA", b"KX%d" % i) for i in range(600)]
    slow, fast = FrameDecoder(), FrameDecoder()
    text = b"\n".join([*some, *some])
    scanned = scan(text)
    assert 0 < len(scanned.left) < 200
    assert told(scanned_batch(scanned, fast), fast) == told(slow.decode(text), slow)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_read_alike_by_any_number_of_threads(
    recordings: Path, tmp_path: Path, threads: int
) -> None:
    files = []
    for path in sorted(recordings.glob("*/*.gz"))[::5]:
        with gzip.open(path, "rb") as whole:
            files.append(tmp_path / path.name.removesuffix(".gz"))
            files[-1].write_bytes(b"".join(itertools.islice(whole, 2000)))
    slow = read_captures(files, scan=False, threads=1)
    _equal(slow, read_captures(files, threads=threads, scan=True))


def test_a_malformed_line_is_named_by_its_number(tmp_path: Path) -> None:
    from kalshi_sim.errors import DataError

    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(USUAL + b"\n")
    bad.write_bytes(b"\n".join([USUAL, b"", USUAL.replace(b"0.2500", b"0.25001"), USUAL]))
    said = []
    for scan_them in (False, True):
        with pytest.raises(DataError) as error:
            read_captures([good, bad], scan=scan_them, threads=2)
        said.append(str(error.value))
        left = read_captures([good, bad], scan=scan_them, threads=2, max_bad_lines=1)
        assert (len(left.frames), left.bad_lines) == (3, 1)
    assert said[0] == said[1]
    assert "bad.jsonl, line 3" in said[0]


def test_every_key_of_the_decoder_is_a_word() -> None:
    from kalshi_sim.ingest.frames import Frame, Message

    assert {*Message.__struct_fields__, *Frame.__struct_fields__} <= set(words._WORDS)
    for number, word in enumerate(words._WORDS):
        text = np.frombuffer(b'"' + word.encode() + b'"', dtype=np.uint8)
        expected = number if word else words.UNKNOWN
        assert words.word_number(text, 1, len(text) - 1) == expected


def test_a_frame_over_two_lines_is_not_taken_for_two() -> None:
    text = b'{"type":"ok",\n"sid":1}'
    assert len(FrameDecoder().decode(text)) == 1
    with pytest.raises(ValueError, match="several frames on one line"):
        scanned_batch(scan(text), FrameDecoder())


def test_a_trade_has_one_number_wherever_it_is_read() -> None:
    names: list[str | int | None] = [
        "d9a1",
        "d9a2",
        "",
        "\0",
        "a" * 64,
        "a" * 65,
        "a" * 66,
        "é",
        7,
        "7",
        None,
        "d9a1",
    ]
    numbers = trade_numbers(names)
    assert numbers[-1] == numbers[0]
    assert numbers[names.index(None)] == -1
    assert len(set(numbers.tolist())) == len(names) - 1
    assert (np.delete(numbers, names.index(None)) >= 0).all()
    for name, number in zip(names[:5], numbers[:5].tolist(), strict=True):
        text = np.frombuffer(f"..{name}.".encode(), dtype=np.uint8)
        assert trade_number(text, 2, len(text) - 1) == number
