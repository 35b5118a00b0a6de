"""What the results of a run rest on: its data, what was held out, its settings, who made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kalshi_sim.store import open_store
from kalshi_train.evaluation.provenance import (
    ModelOrigin,
    Provenance,
    now,
    origins_of,
    shown_command,
)

if TYPE_CHECKING:
    from pathlib import Path

    from kalshi_sim.session import Session
    from kalshi_train.config import TrainConfig
    from kalshi_train.data.prepare import TrainingData
    from kalshi_train.training.state import RunState


def sources_of(config: TrainConfig, sessions: Sequence[Session] | None) -> dict[int, str]:
    """What is said of where each session comes from, by its number.

    Args:
        config: names the store.
        sessions: those that are trained on, if they were not loaded from it.

    Raises:
        StoreError: the store cannot be read.
    """
    if sessions is not None:
        return {s.session_id: s.source for s in sessions}
    return {i.session_id: i.source for i in open_store(config.store).list_sessions()}


def provenance_of_run(
    config: TrainConfig,
    data: TrainingData,
    sources: Mapping[int, str],
    state: RunState,
    models: Mapping[str, Path],
    command: Sequence[str] | None,
) -> Provenance:
    """What the figures of a run on its held-out markets (without any: its own markets) rest on.

    Args:
        config: the settings of the run.
        data: what it was trained on, and what it held out.
        sources: where each session comes from.
        state: counters of the run.
        models: the files of the final model and, if there is one, of the best, by these names.
        command: the words of the command line, the program first; None from Python.

    Returns:
        The same that an evaluation carries.
    """
    played = data.train if data.heldout is None else data.heldout
    markets = len(played.views)
    return Provenance(
        sessions=origins_of(played, sources),
        models=tuple(
            ModelOrigin(
                name=f"{name} model",
                path=str(path),
                algorithm=config.learner.algorithm,
                trained_on=tuple(sorted({v.session_id for v in data.train.views})),
                training_seed=config.seed,
                training_timesteps=state.best_at if name == "best" else config.total_timesteps,
                markets=markets,
                markets_seen=markets if data.heldout is None else 0,
                chosen_among=len(state.eval_steps) if name == "best" else None,
                settings_of="this run",
            )
            for name, path in models.items()
        ),
        markets=markets,
        events=len({v.event or v.market_ticker for v in played.views}),
        seed=config.seed,
        command=None if command is None else shown_command(command),
        made_at=now(),
    )
