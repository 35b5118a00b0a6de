"""Action tables as settings: names, files, rows in Python, and what models remember of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from kalshi_sim import ActionRow, ActionTable, KalshiVecEnv, LiveMarket, SimConfig, build_tape
from kalshi_sim.actions import FIVE, MAX_ROWS, TABLES, action_label, by_intent
from kalshi_sim.errors import ConfigError
from kalshi_sim.live.portfolio import Portfolio
from kalshi_sim.spaces import TableSpace, action_space, table_of_space
from kalshi_sim.tape import Tape
from kalshi_train import TrainConfig
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.models import load_model
from tests.support.golden import calm
from tests.support.streams import quiet

ROWS: list[dict[str, Any]] = [
    {"kind": "hold"},
    {"kind": "cancel", "side": "both"},
    {"kind": "buy", "side": "yes", "pricing": "behind 2", "size": 8},
    {"kind": "sell", "side": "yes"},
]
EXAMPLE = Path(__file__).parents[1] / "examples" / "actions.json"


@pytest.fixture(scope="module")
def tape() -> Tape:
    return build_tape([calm(quiet(10, 30))], min_episode_length=3)


def test_the_named_tables() -> None:
    assert {name: len(table) for name, table in TABLES.items()} == {
        "five": 5,
        "sized": 21,
        "maker": 16,
    }
    assert FIVE.names == ("hold", "buy_yes", "sell_yes", "buy_no", "sell_no")
    assert " ".join(TABLES["maker"].names) == (
        "hold cancel_yes cancel_no cancel_both buy_yes_join buy_yes_improve buy_yes_behind_1 "
        "buy_yes_behind_2 buy_no_join buy_no_improve buy_no_behind_1 buy_no_behind_2 "
        "sell_yes_cross sell_yes_join sell_no_cross sell_no_join"
    )
    assert [r.size for r in TABLES["sized"].rows[1:6]] == [2, 4, 8, 20, 40]


def test_a_table_from_a_file_from_rows_and_from_python_is_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(ROWS))
    made = ActionTable(tuple(ActionRow(**row) for row in ROWS))
    configs = [SimConfig(actions=given) for given in (file, str(file), ROWS, made)]
    assert all(c == configs[0] and c.table == made for c in configs)
    file.unlink()
    assert configs[0].table.names == ("hold", "cancel_both", "buy_yes_behind_2_x2", "sell_yes")


def test_equal_rows_are_the_same_table_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "five_again.json"
    file.write_text(
        json.dumps(
            [{"kind": "hold"}]
            + [{"kind": k, "side": s, "size": 4} for s in ("yes", "no") for k in ("buy", "sell")]
        )
    )
    assert SimConfig(actions=file) == SimConfig()
    assert SimConfig(actions=TABLES["maker"]).actions == "maker"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("nowhere", "no such table or file; allowed are five, sized, maker, or a JSON file"),
        ([], "1 to 127 rows; this one has 0"),
        ([{"kind": "hold"}] * (MAX_ROWS + 1), "this one has 128"),
        ([{"kind": "cancel", "side": "yes"}], "row 0 of the actions must be hold"),
        ([{"kind": "hold"}, {"kind": "bid", "side": "yes"}], "row 1: kind='bid': allowed are hold"),
        ([{"kind": "hold"}, {"side": "yes"}], "row 1: kind is missing"),
        ([{"kind": "hold"}, {"kind": "buy"}], "row 1: buy needs a side: yes or no"),
        ([{"kind": "hold"}, {"kind": "sell", "side": "both"}], "row 1: sell has one side"),
        ([{"kind": "hold", "side": "yes"}], "row 0: hold has no side"),
        ([{"kind": "hold"}, {"kind": "cancel", "side": "no", "size": 2}], "neither pricing nor"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "price": 3}], "row 1: unknown price"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "size": 0}], "row 1: size=0: must be"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "size": 1.5}], "row 1: size=1.5"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "pricing": "behind"}], "'behind K'"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "pricing": "behind 0"}], "1 to 1000"),
        ([{"kind": "hold"}, {"kind": "buy", "side": "yes", "pricing": "behind 01"}], "1 to 1000"),
        ([{"kind": "hold"}, 7], "row 1: 7 is no object with kind, side, pricing, size"),
        (7, "actions=7: allowed are"),
    ],
)
def test_a_wrong_table_is_refused_by_row(rows: object, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SimConfig(actions=rows)  # type: ignore[arg-type]  # wrong on purpose
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[{]", "is no JSON"),
        (b'{"kind": "hold"}', "is a JSON list of rows"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"[" * 100_000, "is no JSON"),
        (b" " * (1 << 20) + b"[]", "too large"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as raised:
        SimConfig(actions=file)
    assert "mine.json" in str(raised.value)


def test_resting_actions_that_are_cancelled_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="buy_yes_join with time_in_force='ioc' never trades"):
        SimConfig(actions="maker", time_in_force="ioc")
    SimConfig(actions="sized", time_in_force="ioc")


def test_spaces_know_their_rows() -> None:
    five, maker = action_space(), action_space(SimConfig(actions="maker"))
    assert type(five) is gym.spaces.Discrete
    assert five == gym.spaces.Discrete(5)
    assert maker.n == 16
    assert maker == TableSpace(TABLES["maker"])
    assert maker != gym.spaces.Discrete(16)
    assert gym.spaces.Discrete(16) != maker
    other = ActionTable((*FIVE.rows[:4], ActionRow("cancel", "both")))
    assert TableSpace(other) != gym.spaces.Discrete(5)
    assert table_of_space(five) == FIVE
    assert table_of_space(maker) == TABLES["maker"]
    assert table_of_space(gym.spaces.Discrete(16)) is None
    damaged = TableSpace(other)
    damaged.actions = "/etc/hostname"
    assert table_of_space(damaged) is None


def test_a_saved_model_remembers_its_table_and_refuses_another(tape: Tape, tmp_path: Path) -> None:
    maker = SimConfig(actions="maker")
    env = KalshiVecEnv(tape, n_envs=2, config=maker)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8, n_epochs=1)
    model.learn(8)
    model.save(tmp_path / "m.zip")
    loaded = load_model(tmp_path / "m.zip")
    assert table_of_space(loaded.action_space) == TABLES["maker"]
    figures = evaluate({"m": loaded}, tape, maker, baselines=["all"])
    assert list(figures.run("m").total.actions) == list(TABLES["maker"].names)
    assert list(figures.run("momentum").total.actions) == list(FIVE.names)
    assert len(figures.run("random").total.actions) == 16
    with pytest.raises(ConfigError, match=r"\(maker\); the simulation has those of five"):
        evaluate({"m": loaded}, tape)
    with pytest.raises(ConfigError, match="the simulation has those of sized"):
        policy_from_model(loaded, "m").config(SimConfig(actions="sized"))
    with pytest.raises(ValueError, match="Action spaces do not match"):
        PPO.load(tmp_path / "m.zip", env=KalshiVecEnv(tape, n_envs=2))


def test_a_live_market_has_the_configured_actions(tape: Tape) -> None:
    session = calm(quiet(10, 3))
    market = LiveMarket(session.markets[0])
    market.feed(session.events)
    market.finish()
    maker, portfolio = SimConfig(actions="maker"), Portfolio(cash=10_000)
    resting = Portfolio(cash=10_000, yes_order=(40, 10, 100))
    cancels = market.action_mask(resting, maker)[1:4]
    assert cancels.tolist() == [True, False, True]
    assert market.action_mask(portfolio, maker).tolist()[:5] == [True, False, False, False, True]
    env = KalshiVecEnv(tape, n_envs=2, config=maker)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8)
    assert market.act(model, portfolio, maker) in range(16)
    with pytest.raises(ConfigError, match="give the same --actions"):
        market.act(model, portfolio)


def test_settings_of_a_run_keep_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(ROWS))
    config = TrainConfig().changed(actions=file)
    written = config.to_json()
    assert written["actions"] == ROWS
    assert TrainConfig.from_json(json.loads(json.dumps(written)), "here") == config
    assert TrainConfig().to_json()["actions"] == "five"


def test_the_example_is_a_table() -> None:
    table = SimConfig(actions=EXAMPLE).table
    assert table.known_as is None
    assert {row.kind for row in table.rows} == {"hold", "cancel", "buy", "sell"}


def test_figures_by_what_the_rows_do() -> None:
    shares = dict.fromkeys(TABLES["maker"].names, np.float64(1 / 16))
    assert by_intent(shares) == pytest.approx(
        {
            "hold": 1 / 16,
            "buy_yes": 4 / 16,
            "sell_yes": 2 / 16,
            "buy_no": 4 / 16,
            "sell_no": 2 / 16,
            "cancel": 3 / 16,
        }
    )
    twice = ActionTable((ActionRow("hold"), ActionRow("hold"), ActionRow("buy", "no")))
    assert twice.names == ("hold", "hold#2", "buy_no")
    assert by_intent(dict.fromkeys(twice.names, 1.0))["hold"] == 2
    assert action_label("buy_yes_behind_2") == "buy YES behind 2"
