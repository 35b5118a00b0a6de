"""`Evaluation`: what was found, by policy, fill model and market."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalshi_sim.config import FillModel, SimConfig
from kalshi_sim.frames import Tabular
from kalshi_sim.tape import Tape
from kalshi_sim.text import dollars, numbered
from kalshi_train.evaluation.compare import Comparison
from kalshi_train.evaluation.diagnosis import Diagnosis
from kalshi_train.evaluation.evidence import model_caveats
from kalshi_train.evaluation.figures import TotalFigures
from kalshi_train.evaluation.intervals import Interval
from kalshi_train.evaluation.measure import Episode, events, profits
from kalshi_train.evaluation.permutation import PermutationNull
from kalshi_train.evaluation.policies import Policy
from kalshi_train.evaluation.provenance import Provenance
from kalshi_train.evaluation.stress import StressResult
from kalshi_train.evaluation.verdicts import Verdict, of_interval

if TYPE_CHECKING:
    import pyarrow as pa

BOUNDS: Final[tuple[FillModel, FillModel]] = ("through", "touch")
"""The pessimistic and the optimistic fill model: the truth lies between."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One policy under one fill model."""

    policy: Policy
    config: SimConfig
    """As played: the policy's own settings included."""
    episodes: tuple[Episode, ...]
    """By view of the tape."""
    total: TotalFigures
    """The figures of all markets together, money in cents."""

    @property
    def fill_model(self) -> FillModel:
        """How resting orders were filled."""
        return self.config.fill_model

    def __repr__(self) -> str:
        profit = self.total.profit_per_market_cents
        return (
            f"Run({self.policy.name} under {self.fill_model}: "
            f"{numbered(len(self.episodes), 'market')}, "
            f"{dollars(profit, signed=True)} a market)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Tabular):
    """What `evaluate` found; tables by name in `frames`, its episodes by `to_pandas` and the like.

    `kalshi_train.report` makes charts and the page of it.
    """

    tape: Tape
    config: SimConfig
    seed: int
    confidence: float
    resamples: int
    policies: tuple[Policy, ...]
    models: tuple[str, ...]
    """Names of the policies that are no baselines."""
    runs: tuple[Run, ...]
    """By policy, then fill model."""
    comparisons: tuple[Comparison, ...]
    stress: tuple[StressResult, ...]
    provenance: Provenance
    """The data, what the models have seen of it, whose settings, who made it."""
    diagnoses: tuple[Diagnosis, ...] = ()
    """Of each model, why it trades as it does."""
    nulls: tuple[PermutationNull, ...] = ()
    """Of each model, what it earns with the features of other events; if that was asked for."""
    caveats: tuple[str, ...] = ()
    """Why no result on these markets is evidence, in sentences."""

    @property
    def fill_models(self) -> tuple[FillModel, ...]:
        """Pessimistic, chosen, optimistic."""
        return fill_models_of(self.config)

    def caveats_of(self, policy: str) -> tuple[str, ...]:
        """Why the result of a policy is no evidence: `caveats` and those of the model itself.

        Args:
            policy: name of the policy.

        Returns:
            Sentences; none where the markets are recorded and not known to be seen by it.
        """
        return (*self.caveats, *model_caveats(self.provenance.model(policy)))

    def verdict(self, policy: str, fill_model: str | None = None) -> Verdict:
        """What the profit of a policy is worth: its interval, and the tries it was chosen among.

        Args:
            policy: name of the policy.
            fill_model: the chosen one of the configuration if omitted.

        Returns:
            The verdict.

        Raises:
            KeyError: there is no such run.
        """
        run = self.run(policy, fill_model)
        total, origin = run.total, self.provenance.model(policy)
        low, high = total.profit_per_market_low_cents, total.profit_per_market_high_cents
        return of_interval(
            Interval(total.profit_per_market_cents, low, high, total.events),
            profits(run.episodes),
            events(run.episodes),
            tries=1 if origin is None else origin.tries,
            chosen=origin is not None and origin.chosen_among is not None,
            confidence=self.confidence,
        )

    def run(self, policy: str, fill_model: str | None = None) -> Run:
        """The run of a policy by name, under the chosen fill model unless another is named.

        Args:
            policy: name of the policy.
            fill_model: the chosen one of the configuration if omitted.

        Returns:
            The run.

        Raises:
            KeyError: there is none.
        """
        wanted = fill_model or self.config.fill_model
        for run in self.runs:
            if run.policy.name == policy and run.fill_model == wanted:
                return run
        raise KeyError(f"no run of {policy} under {wanted}")

    @functools.cached_property
    def frames(self) -> dict[str, pa.Table]:
        """Tables by name: totals, episodes, fills, equity, comparisons, stress (money in cents).

        Arrow tables: `.to_pandas()` and `polars.from_arrow` make data frames of them.
        """
        from kalshi_train.evaluation.tables import make_frames

        return make_frames(self)

    def _arrow(self) -> Any:
        return self.frames["episodes"]

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON has them; equal evaluations give equal bytes.

        Returns:
            Figures by name.
        """
        from kalshi_train.evaluation.tables import to_json

        return to_json(self)

    def write_parquet(self, folder: Path) -> list[Path]:
        """Write every frame into `folder` as Parquet, named after it; returns the paths.

        Args:
            folder: where the files go; made if it is not there.

        Returns:
            The paths of the files.
        """
        from kalshi_train.evaluation.tables import write_parquet

        return write_parquet(self, folder)

    def __repr__(self) -> str:
        names = ", ".join(p.name for p in self.policies)
        models = " / ".join(self.fill_models)

        def profit_of(name: str) -> float:
            return self.run(name).total.profit_per_market_cents

        found = "".join(
            f"; {name} {dollars(profit_of(name), signed=True)} a market" for name in self.models
        )
        markets = numbered(len(self.tape.views), "market")
        return f"Evaluation({names} on {markets} under {models}{found})"


def fill_models_of(config: SimConfig) -> tuple[FillModel, ...]:
    """The chosen fill model between the bounds; two if it is one of them.

    Returns:
        Two or three names.
    """
    pessimistic, optimistic = BOUNDS
    return tuple(dict.fromkeys((pessimistic, config.fill_model, optimistic)))
