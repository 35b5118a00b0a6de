"""Recorded text made safe to show."""

from __future__ import annotations

import pytest

from kalshi_sim.text import dollars, file_names, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("KXNBA-26MAR18UTAMIN", "KXNBA-26MAR18UTAMIN"),
        ("\x1b]0;PWNED\x07\x1b[31mRED", r"\x1b]0;PWNED\x07\x1b[31mRED"),
        ("N\nL\r\t\0", r"N\nL\r\t\x00"),
        ("\u202eRTL\u200b", r"\u202eRTL\u200b"),
        ("\x9b31m", r"\x9b31m"),
        ("\u2028\U000e0041", r"\u2028\U000e0041"),
        ("Zürich → 東京 é", "Zürich → 東京 é"),
        ("\udc80", r"\udc80"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    shown.encode()


def test_long_text_is_cut() -> None:
    assert printable("L" * 5000, 100) == "L" * 99 + "…"
    assert printable("short", 100) == "short"


def test_a_message_keeps_its_lines() -> None:
    assert printable_lines("one\n\ttwo\x1b[2J") == "one\n\ttwo\\x1b[2J"


def test_every_ticker_has_a_file_of_its_own() -> None:
    tickers = ["A/B", "A_B", "a_b", "KXNBA-26.5", "../../pwn", "-rf", "\x1b[2J", "é" * 300, ".x"]
    tickers += ["", "CON", "con", "nul.txt", "Lpt1", "COM", "L" * 5000, "L" * 4999, "A.", "A "]
    names = file_names(tickers)
    assert len({n.casefold() for n in names}) == len(tickers)
    assert names[1] == "A_B"
    assert names[3] == "KXNBA-26.5"
    for name in names:
        assert name.isascii()
        assert not name.startswith((".", "-"))
        assert not set(name) & set("/\\\x1b *?")
        assert len(name) < 200
        assert name.partition(".")[0].upper() not in {"CON", "NUL", "LPT1"}
    assert file_names(["A_B", "A/B"]) == [names[1], names[0]]


@pytest.mark.parametrize(
    ("cents", "plain", "gain"),
    [
        (123_456.0, "$1,234.56", "+$1,234.56"),
        (-50.0, "-$0.50", "-$0.50"),
        (9.9, "$0.0990", "+$0.0990"),
        (-0.31, "-$0.0031", "-$0.0031"),
        (0.0, "$0.00", "$0.00"),
        (-0.001, "$0.00", "$0.00"),
        (None, "-", "-"),
    ],
)
def test_money_is_shown_in_dollars(cents: float | None, plain: str, gain: str) -> None:
    assert (dollars(cents), dollars(cents, signed=True)) == (plain, gain)
