"""Why a result is no evidence of a profit, in sentences that stand beside every verdict."""

from __future__ import annotations

from collections.abc import Iterable

from kalshi_sim.session import POLLED, REBUILT_SUFFIX
from kalshi_sim.text import numbered
from kalshi_train.evaluation.provenance import ModelOrigin, SessionOrigin


def caveats(sessions: Iterable[SessionOrigin]) -> tuple[str, ...]:
    """A sentence for each session whose books were not recorded as they changed.

    Returns:
        The sentences.
    """
    found = []
    for info in sessions:
        source = info.source or ""
        if info.origin == "generated":
            found.append(
                f"session {info.session_id} is generated: its markets are a program's, and no "
                "result on it says anything about Kalshi."
            )
        if source.endswith(REBUILT_SUFFIX):
            found.append(
                f"session {info.session_id} has markets that began without a recorded snapshot "
                f"(`kalshi-sim analyze {info.session_id}` names them): their sizes are "
                "understated, and no result on them is evidence."
            )
        if source.startswith(POLLED):
            found.append(
                f"session {info.session_id} is made of polls: what happened between two of them "
                "is not known, so fills of resting orders are a guess, and no result on it is "
                "evidence."
            )
    return tuple(found)


def model_caveats(model: ModelOrigin | None) -> tuple[str, ...]:
    """A sentence for each reason why a model's result on these markets flatters it.

    Returns:
        The sentences.
    """
    if model is None:
        return ()
    found = []
    if model.markets_seen:
        which = (
            "these markets themselves"
            if model.markets_seen == model.markets
            else f"{model.markets_seen} of these {numbered(model.markets, 'market')}"
        )
        found.append(
            f"{model.name} was trained on {which}, so the result shows what it remembers "
            "(--heldout plays only markets it has not seen)."
        )
    if model.chosen_among is not None:
        found.append(
            f"{model.name} was chosen on these markets as the best of {model.chosen_among} "
            "evaluations, which flatters it."
        )
    return tuple(found)
