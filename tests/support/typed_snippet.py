"""What a user writes, for the type checker: names complete, and types are what they seem."""

from __future__ import annotations

from typing import assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from kalshi_sim import KalshiVecEnv, Session, SimConfig, Tape, build_tape, load_tape, open_store
from kalshi_sim.fills import Fills
from kalshi_sim.own import Agent, OwnFeatures, Row
from kalshi_train import Evaluation, evaluate


def features(
    row: Row, agent: Agent, observation: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    out[0] = (row.payout - row.no_bid - row.yes_bid) / row.payout


def reward(before: Agent, after: Agent, row: Row, paid: float) -> float:
    return paid - abs(after.position) / 100


def notebook() -> None:
    store = open_store("sessions")
    session = store.load(9)
    assert_type(session, Session)
    assert_type(session.to_pandas(), pd.DataFrame)
    assert_type(session.events.to_polars(), pl.DataFrame)
    tape = build_tape(session)
    assert_type(tape, Tape)
    assert_type(load_tape("sessions", 9), Tape)
    own = OwnFeatures(features, names=("spread",))
    env = KalshiVecEnv(session, 8, config=SimConfig(record_fills=True), features=own, reward=reward)
    assert_type(env.fills(), Fills)
    assert_type(env.action_masks(), npt.NDArray[np.bool_])
    found = evaluate("random", tape)
    assert_type(found, Evaluation)
    assert_type(found.to_pandas(), pd.DataFrame)
