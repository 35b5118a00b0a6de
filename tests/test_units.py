import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.4200", 4200),
        ("0.96", 9600),
        (0.42, 4200),
        (1, 10_000),
        ("-0.0001", -1),
        ("+.5", 5000),
        ("0.500000", 5000),
        ("1e-2", 100),
        ("-4.2E-1", -4200),
        (1e-4, 1),
        (".5e0", 5000),
    ],
)
def test_parse_dollars_reads_decimal_text_exactly(text: str | float, expected: int) -> None:
    assert units.parse_dollars(text) == expected


@pytest.mark.parametrize(
    "text", ["", "abc", "0.42001", "1e-5", "1e", "e2", "1e100", "nan", "0.4.2", "--1", "٣", True]
)
def test_parse_dollars_refuses_what_is_not_exact(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal number|finer"):
        units.parse_dollars(text)


@given(st.integers(-(10**12), 10**12))
def test_parse_and_format_are_inverse(value: int) -> None:
    text = units.format_decimal(value, units.SIZE_SCALE)
    assert units.parse_contracts(text) == value


@pytest.mark.parametrize("payout", [units.PAYOUT_CENT, units.PAYOUT_FINE])
def test_mirror_is_its_own_inverse(payout: int) -> None:
    assert all(units.mirror(units.mirror(p, payout), payout) == p for p in range(payout + 1))
    assert units.stored_per_money(payout) * payout == units.PRICE_SCALE
    assert units.money_per_cent(payout) * units.CENTS_PER_DOLLAR == payout
