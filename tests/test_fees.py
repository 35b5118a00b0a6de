from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_sim.config import MAX_CONTRACTS
from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.fees import (
    DEFAULT_SCHEDULE,
    MAKER_RATE,
    MAX_MULTIPLIER,
    TAKER_RATE,
    FeeRule,
    FeeSchedule,
    FeeTerms,
)
from kalshi_sim.kernels.ledger import fill_fee
from kalshi_sim.session import MarketInfo
from kalshi_sim.units import (
    MULTIPLIER_SCALE,
    PAYOUT_CENT,
    PAYOUT_FINE,
    PRICE_SCALE,
    STORED_PER_CENT,
    money_per_cent,
)

pytestmark = pytest.mark.kernel

HALF = MULTIPLIER_SCALE // 2
DECI_CENT = ((0, 1000, 10), (1000, 9000, 100), (9000, 10_000, 10))
WHOLE_CENT = ((0, 10_000, 100),)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


BEFORE = ms("2026-05-28") - 1
AFTER = ms("2026-05-28")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("market", "at", "unit"),
    [
        (MarketInfo("KXNBAGAME-A-B"), BEFORE, STORED_PER_CENT),
        (MarketInfo("KXNBAGAME-A-B"), AFTER, STORED_PER_CENT),
        (MarketInfo("KXBTC15M-A-B", sub_penny=True), BEFORE, STORED_PER_CENT),
        (MarketInfo("KXBTC15M-A-B", sub_penny=True), AFTER, 1),
        (MarketInfo("KXBTC15M-A-B", price_ranges=DECI_CENT), AFTER, 1),
        (MarketInfo("KXBTC15M-A-B", price_ranges=WHOLE_CENT), AFTER, STORED_PER_CENT),
    ],
)
def test_default_unit_is_fine_only_for_fine_grids_since_the_change(
    market: MarketInfo, at: int, unit: int
) -> None:
    assert DEFAULT_SCHEDULE.terms(market, at) == FeeTerms(MULTIPLIER_SCALE, 0, unit)


def test_a_session_without_any_time_has_the_oldest_terms() -> None:
    terms = DEFAULT_SCHEDULE.terms(MarketInfo("X", sub_penny=True), -(2**62))
    assert terms.fee_unit == STORED_PER_CENT


def test_the_markets_own_values_win() -> None:
    market = MarketInfo("X-1", taker_multiplier=HALF, maker_multiplier=1, fee_unit=2)
    schedule = DEFAULT_SCHEDULE.override([FeeRule(taker_multiplier=3, fee_unit=50)])
    assert schedule.terms(market, AFTER) == FeeTerms(HALF, 1, 2)


@pytest.mark.parametrize(
    ("series", "hit", "miss"),
    [
        ("KXNBA*", "KXNBAGAME-X-Y", "KXNB-X"),
        ("KXNBA", "KXNBA-X", "KXNBAGAME-X"),
        ("*", "ANYTHING", None),
    ],
)
def test_a_rule_is_for_an_exact_series_or_a_prefix(series: str, hit: str, miss: str | None) -> None:
    schedule = DEFAULT_SCHEDULE.override([FeeRule(series, taker_multiplier=HALF)])
    assert schedule.terms(MarketInfo(hit), AFTER).taker_multiplier == HALF
    if miss:
        assert schedule.terms(MarketInfo(miss), AFTER).taker_multiplier == MULTIPLIER_SCALE


def test_a_rule_holds_from_the_first_millisecond_of_its_day() -> None:
    rule = FeeRule("X", since=date(2025, 1, 2), maker_multiplier=MULTIPLIER_SCALE)
    schedule = DEFAULT_SCHEDULE.override([rule])
    first = ms("2025-01-02")
    assert schedule.terms(MarketInfo("X-1"), first).maker_multiplier == MULTIPLIER_SCALE
    assert schedule.terms(MarketInfo("X-1"), first - 1).maker_multiplier == 0


def test_a_later_rule_wins_and_leaves_what_it_does_not_state() -> None:
    schedule = DEFAULT_SCHEDULE.override(
        [FeeRule("X*", taker_multiplier=HALF, maker_multiplier=7), FeeRule("XY", fee_unit=1)]
    )
    assert schedule.terms(MarketInfo("XY-1"), BEFORE) == FeeTerms(HALF, 7, 1)


def test_a_schedule_that_states_too_little_says_so() -> None:
    schedule = FeeSchedule((FeeRule("X", taker_multiplier=1),))
    with pytest.raises(ConfigError, match=r"no maker_multiplier for market X-1.*DEFAULT_SCHEDULE"):
        schedule.terms(MarketInfo("X-1"), AFTER)


def test_a_markets_own_value_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"market X-1: taker_multiplier=-1: .*0\.0000 to 5\.0000"):
        DEFAULT_SCHEDULE.terms(MarketInfo("X-1", taker_multiplier=-1), AFTER)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"series": ""}, "give a series"),
        ({"series": "A*B"}, "give a series"),
        ({"series": "A"}, "sets no value"),
        ({"fee_unit": 0}, "fee_unit=0"),
        ({"taker_multiplier": 50_001}, "taker_multiplier=50001"),
        ({"maker_multiplier": True}, "maker_multiplier=True"),
    ],
)
def test_a_bad_rule_is_refused(rule: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FeeRule(**rule)  # type: ignore[arg-type]  # wrong values are the point


RULES = (
    FeeRule("KXEXAMPLE*", date(2025, 1, 1), taker_multiplier=HALF),
    FeeRule("KXEXAMPLE*", date(2026, 1, 1), maker_multiplier=2_500, fee_unit=1),
    FeeRule("*", fee_unit=STORED_PER_CENT, sub_penny_only=True),
)
JSON = """[
    {"series": "KXEXAMPLE*", "since": "2025-01-01", "taker_multiplier": 0.5},
    {"series": "KXEXAMPLE*", "since": "2026-01-01", "maker_multiplier": "0.25",
     "fee_unit": 0.0001},
    {"fee_unit": "0.01", "sub_penny_only": true}
]"""
CSV = """series,since,taker_multiplier,maker_multiplier,fee_unit,sub_penny_only
KXEXAMPLE*,2025-01-01,0.5,,,
KXEXAMPLE*,2026-01-01,,0.25,0.0001,
*,,,,0.01,true
"""


@pytest.mark.parametrize(("name", "text"), [("fees.json", JSON), ("fees.csv", CSV)])
def test_a_file_overrides_the_defaults(tmp_path: Path, name: str, text: str) -> None:
    schedule = FeeSchedule.from_file(write(tmp_path, name, text))
    assert schedule == DEFAULT_SCHEDULE.override(RULES)


def test_multipliers_of_a_file_are_read_without_a_float(tmp_path: Path) -> None:
    text = '[{"taker_multiplier": 0.5000000000000000000000000000}, {"taker_multiplier": 1}]'
    rules = FeeSchedule.from_file(write(tmp_path, "fees.json", text)).rules[-2:]
    assert [r.taker_multiplier for r in rules] == [HALF, MULTIPLIER_SCALE]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("f.json", "{", "no valid JSON"),
        ("f.json", "{}", "JSON list of objects"),
        ("f.json", "[1]", "JSON list of objects"),
        ("f.json", '[{"taker": 1}]', "rule 1: .*unknown field `taker`"),
        ("f.json", '[{"series": "A", "since": "soon", "fee_unit": 1}]', "rule 1: .*since"),
        ("f.json", '[{"fee_unit": "0.01"}, {"fee_unit": "cheap"}]', "rule 2: not a decimal"),
        ("f.json", '[{"fee_unit": 0.00001}]', "rule 1: .*finer than"),
        ("f.json", '[{"fee_unit": 1e-2}]', "rule 1: not a decimal.*exponent"),
        ("f.json", '[{"taker_multiplier": 9}]', r"rule 1: .*0\.0000 to 5\.0000"),
        ("f.csv", "series,fee_unit\nA,0.01,7\n", "rule 1: .*beyond the header"),
        ("f.csv", "series,fee\nA,0.01\n", "rule 1: .*unknown field `fee`"),
        ("f.csv", "series,fee_unit\nA,\n", "rule 1: .*sets no value"),
        (
            "f.csv",
            "series,since,fee_unit\nA,2026-02-01,0.01\nA,2026-01-01,0.02\n",
            "rule 2: .*sort them by date",
        ),
    ],
)
def test_a_bad_file_is_refused_by_file_and_rule(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(DataError, match=rf"{name}.*{complaint}"):
        FeeSchedule.from_file(write(tmp_path, name, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: cannot be read \(No such file"):
        FeeSchedule.from_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("rate", "qty", "price_cents", "centicents", "cents"),
    [
        (TAKER_RATE, 1, 50, 175, 2),
        (TAKER_RATE, 100, 25, 13_125, 132),
        (MAKER_RATE, 1, 50, 44, 1),
        (MAKER_RATE, 100, 50, 4_375, 44),
    ],
)
def test_fees_are_those_the_exchange_publishes(
    rate: tuple[int, int], qty: int, price_cents: int, centicents: int, cents: int
) -> None:
    def fee(payout: int, unit: int) -> int:
        price = price_cents * money_per_cent(payout)
        return int(fill_fee(*rate, MULTIPLIER_SCALE, qty, price, payout, unit))

    assert fee(PAYOUT_FINE, 1) == centicents
    assert fee(PAYOUT_FINE, STORED_PER_CENT) == cents * STORED_PER_CENT
    assert fee(PAYOUT_CENT, 1) == cents


@given(
    rate=st.sampled_from([TAKER_RATE, MAKER_RATE]),
    multiplier=st.integers(0, MAX_MULTIPLIER),
    qty=st.integers(1, MAX_CONTRACTS),
    data=st.data(),
    payout=st.sampled_from([PAYOUT_CENT, PAYOUT_FINE]),
    unit=st.integers(1, PRICE_SCALE),
)
def test_fees_are_exact_to_the_largest_order_and_multiplier(
    rate: tuple[int, int], multiplier: int, qty: int, data: st.DataObject, payout: int, unit: int
) -> None:
    price = data.draw(st.integers(1, payout - 1))
    exact = Fraction(*rate) * Fraction(multiplier, MULTIPLIER_SCALE) * qty
    exact *= Fraction(price * (payout - price), payout)
    fee = fill_fee(*rate, multiplier, qty, price, payout, unit)
    assert fee == ceil(exact / unit) * unit


def test_the_largest_fee_fits_in_64_bits() -> None:
    price = PAYOUT_FINE // 2
    fee = fill_fee(*TAKER_RATE, MAX_MULTIPLIER, MAX_CONTRACTS, price, PAYOUT_FINE, PRICE_SCALE)
    assert fee == Fraction(7, 100) * 5 * MAX_CONTRACTS * Fraction(PAYOUT_FINE, 4)


def test_a_file_of_fees_reaches_tapes_and_models(tmp_path: Path) -> None:
    from kalshi_sim import open_store
    from kalshi_sim.config import TapeOptions
    from kalshi_sim.synthetic.session import generate_session
    from kalshi_sim.tape_cache import load_tape
    from kalshi_train import SB3TrainingConfig, TrainConfig, train

    rules = tmp_path / "fees.json"
    rules.write_text('[{"taker_multiplier": 0.5, "maker_multiplier": 0.25}]')
    store = open_store(tmp_path / "s")
    store.save(generate_session(1, markets=8, minutes=8, seed=1))
    tape = load_tape(store, [1], TapeOptions(fee_schedule=rules))
    assert {v.taker_multiplier for v in tape.views} == {5_000}
    assert {v.taker_multiplier for v in load_tape(store, [1]).views} == {10_000}
    assert SB3TrainingConfig(fee_schedule=rules).fee_schedule == rules
    config = TrainConfig(
        session=1,
        store=str(tmp_path / "s"),
        model_save_path=tmp_path / "run" / "m.zip",
        total_timesteps=256,
        n_envs=4,
        tensorboard=False,
        tape=TapeOptions(fee_schedule=rules),
    )
    train(config)
    rules.unlink()
    again = TrainConfig.from_file(tmp_path / "run" / "config.json")
    assert again.tape.fee_schedule == tmp_path / "run" / "fee_schedule.json"
    kept = load_tape(store, [1], again.tape, use_cache=False)
    assert {v.maker_multiplier for v in kept.views} == {2_500}


def test_commands_take_a_file_of_fees(capsys: pytest.CaptureFixture[str]) -> None:
    from kalshi_train.cli.train import evaluate_main, train_main

    for command in (train_main, evaluate_main):
        assert command(["--help"]) == 0
        assert "--fee-schedule" in capsys.readouterr().out
        assert command(["--session", "1", "--fee-schedule", "nowhere.json"]) == 2


def test_analyze_and_validate_take_a_file_of_fees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kalshi_sim import open_store
    from kalshi_sim.cli.commands import main
    from kalshi_sim.synthetic.session import generate_session
    from kalshi_sim.tape_cache import cache_folder
    from kalshi_sim.tape_files import open_tape

    monkeypatch.setenv("KALSHI_SIM_TAPES", str(tmp_path / "tapes"))
    store = str(tmp_path / "s")
    open_store(store).save(generate_session(1, markets=8, minutes=8, seed=1))
    rules = tmp_path / "fees.json"
    rules.write_text('[{"taker_multiplier": 0.5, "maker_multiplier": 0.25}]')
    assert main(["analyze", "1", "--store", store, "--fee-schedule", str(rules)]) == 0
    (made,) = cache_folder().iterdir()
    assert {v.taker_multiplier for v in open_tape(made).views} == {5_000}
    assert main(["validate", "1", "--store", store, "--fee-schedule", str(rules)]) == 0
    rules.write_text('[{"taker_multiplier": "much"}]')
    capsys.readouterr()
    for command in ("analyze", "validate"):
        assert main([command, "1", "--store", store, "--fee-schedule", str(rules)]) != 0
        assert "fees.json, rule 1" in capsys.readouterr().err
