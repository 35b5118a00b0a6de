"""Forecasts of the mid by the features of a row: ridge regression and a small network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from kalshi_sim.features import FEATURES
from kalshi_sim.kernels.observation import N_PORTFOLIO, PORTFOLIO_AT
from kalshi_sim.tape import Tape
from kalshi_sim.units import MS_PER_SECOND, money_per_cent
from kalshi_train.evaluation.measure import event_of

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

HORIZONS_S: Final = (1, 10, 60)
PENALTIES: Final = (1e1, 1e2, 1e3, 1e4, 1e5)
"""Of the ridge regression; the one that forecasts events left out of training best is taken."""
HIDDEN: Final = 32
UPDATES: Final = 3_000
BATCH: Final = 1024
CHECKS: Final = 20
"""How often the network is tried on the event left out."""


SIX: Final = (
    "microprice_offset",
    "top_imbalance",
    "depth_imbalance_5",
    "depth_imbalance",
    "order_flow_10s",
    "order_flow_60s",
)
"""Features that a forecast of a minute does with: more of them fit the events trained on."""


@dataclass(frozen=True)
class Samples:
    """Rows of the markets, and how the mid moved from there; n rows."""

    features: FloatArray
    """[n, 40] those that the agent does not change"""
    moves: FloatArray
    """[n, horizons] cents; nan where the recording ends before"""
    events: npt.NDArray[np.str_]
    """[n]"""

    def of(self, chosen: npt.NDArray[np.bool_]) -> Samples:
        """Some of the rows."""
        return Samples(self.features[chosen], self.moves[chosen], self.events[chosen])


def sample(tape: Tape, every: int = 0) -> Samples:
    """Rows of every market: each `every`-th, or (0) the first of every second."""
    features, moves, events = [], [], []
    cent = money_per_cent(tape.payout)
    for view in tape.views:
        ts, mid = tape.ts_ms[view.rows], tape.mark2[view.rows] / (2 * cent)
        rows = np.arange(0, len(ts), max(1, every))
        if not every:
            _, rows = np.unique(ts // MS_PER_SECOND, return_index=True)
        found = np.full((len(rows), len(HORIZONS_S)), np.nan)
        for k, seconds in enumerate(HORIZONS_S):
            target = ts[rows] + seconds * MS_PER_SECOND
            known = target <= ts[-1]
            later = np.searchsorted(ts, target[known], side="right") - 1
            found[known, k] = mid[later] - mid[rows[known]]
        features.append(tape.features[view.rows][rows].astype(np.float64))
        moves.append(found)
        events.append(np.full(len(rows), event_of(view)))
    return Samples(np.concatenate(features), np.concatenate(moves), np.concatenate(events))


def seen_features(observations: Float32Array) -> FloatArray:
    """The 40 columns [n, 40] of observations [n, 52] that the agent does not change."""
    after = PORTFOLIO_AT + N_PORTFOLIO
    parts = (observations[:, :PORTFOLIO_AT], observations[:, after:])
    return np.concatenate(parts, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Linear:
    """A linear forecast: cents, of features [n, 40]."""

    weights: FloatArray
    """[40]"""
    constant: float

    def __call__(self, features: FloatArray) -> FloatArray:
        """The forecast [n]."""
        return np.asarray(features @ self.weights + self.constant, np.float64)


def columns_of(names: Sequence[str]) -> list[int]:
    """Columns of some features among the 40."""
    shown = [f.name for f in FEATURES if not PORTFOLIO_AT <= f.index < PORTFOLIO_AT + N_PORTFOLIO]
    return [shown.index(name) for name in names]


def ridge(samples: Samples, horizon: int, names_used: Sequence[str] | None = None) -> Linear:
    """Ridge regression, its penalty chosen by leaving out one event after the other.

    Args:
        samples: to train on.
        horizon: index of `HORIZONS_S`.
        names_used: features it may use; all if omitted.
    """
    known = np.isfinite(samples.moves[:, horizon])
    x, y = samples.features[known], samples.moves[known, horizon]
    if names_used is not None:
        columns = columns_of(names_used)
        part = ridge(replace(samples, features=samples.features[:, columns]), horizon)
        weights = np.zeros(x.shape[1])
        weights[columns] = part.weights
        return Linear(weights, part.constant)
    events = samples.events[known]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-9] = 1.0
    z = np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], axis=1)
    names = sorted(set(events.tolist()))
    grams = [z[events == e].T @ z[events == e] for e in names]
    sides = [z[events == e].T @ y[events == e] for e in names]

    def solve(gram: FloatArray, side: FloatArray, penalty: float) -> FloatArray:
        ties = np.full(len(gram), penalty)
        ties[-1] = 0.0  # the constant is free
        return np.asarray(np.linalg.solve(gram + np.diag(ties), side), np.float64)

    def left_out(penalty: float) -> float:
        """Squared error over the events, each forecast from the others, up to a constant."""
        total = 0.0
        for gram, side in zip(grams, sides, strict=True):
            w = solve(sum(grams) - gram, sum(sides) - side, penalty)
            total += float(w @ gram @ w - 2 * w @ side)
        return total

    best = min(PENALTIES, key=left_out) if len(names) > 1 else PENALTIES[2]
    w = solve(sum(grams), sum(sides), best)
    weights = w[:-1] / scale
    return Linear(weights, float(w[-1] - weights @ mean))


def network(samples: Samples, seed: int) -> torch.nn.Module:
    """A network with two hidden layers for all horizons, as it was best on an event left out.

    Args:
        samples: to train on; of a single event its last fifth is left out.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    names = sorted(set(samples.events.tolist()))
    kept = samples.events == names[seed % len(names)]
    if len(names) == 1:
        kept = np.arange(len(kept)) >= 0.8 * len(kept)
    x = torch.tensor(samples.features, dtype=torch.float32)
    y = torch.tensor(samples.moves, dtype=torch.float32)
    mean, scale = x.mean(0), x.std(0).clamp_min(1e-6)
    size = torch.nan_to_num(y).std(0).clamp_min(1e-3)
    x, y = (x - mean) / scale, y / size
    first, second = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, HIDDEN)
    last = torch.nn.Linear(HIDDEN, y.shape[1])
    with torch.no_grad():
        last.weight.mul_(0.1)
    model = torch.nn.Sequential(first, torch.nn.Tanh(), second, torch.nn.Tanh(), last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    train = torch.from_numpy(np.flatnonzero(~kept))
    test = torch.from_numpy(np.flatnonzero(kept))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        known = torch.isfinite(y[rows])
        errors: torch.Tensor = model(x[rows]) - torch.nan_to_num(y[rows])
        return (errors**2)[known].mean()

    best, lowest = {}, float("inf")
    for number in range(1, UPDATES + 1):
        optimiser.zero_grad()
        loss(train[torch.randint(len(train), (min(BATCH, len(train)),))]).backward()
        optimiser.step()
        if number % (UPDATES // CHECKS):
            continue
        with torch.no_grad():
            error = float(loss(test))
        if error < lowest:
            lowest, best = error, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best)
    return torch.nn.Sequential(_Affine(mean, scale), model, _Affine(torch.zeros(()), 1 / size))


class _Affine(torch.nn.Module):
    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.scale


def forecast(model: torch.nn.Module, features: FloatArray) -> FloatArray:
    """What a network forecasts, float64 [n, horizons] cents."""
    with torch.no_grad():
        return np.asarray(model(torch.tensor(features, dtype=torch.float32)), np.float64)
