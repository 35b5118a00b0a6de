"""`TuneOptions`: how a study searches, apart from what a run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from kalshi_sim.config import FillModel
from kalshi_sim.validated import Validated, Within

Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "none"]
Workers = Literal["processes", "threads"]


@dataclass(frozen=True, kw_only=True)
class TuneOptions(Validated):
    """How settings are searched; every field is checked when the object is made.

    Raises:
        ConfigError: a field is outside its range.
    """

    study: Path = Path("study")
    """Folder of the study: its trials, its best model, its page and, if no database is named, the
    study itself."""
    storage: str | None = None
    """postgresql:// address of the study, so that several machines share it (default: a file in
    the folder)."""
    space: Path | None = None
    """JSON file of what is searched (default: settings of the algorithm)."""
    trials: Annotated[int, Within(0, 100_000)] = 32
    """Trials of the study in all, those of earlier calls included; 0 only shows the study."""
    trial_seeds: Annotated[int, Within(1, 1000)] = 1
    """Runs of a trial, each with another seed; its value is their mean."""
    bound: FillModel = "through"
    """How resting orders fill where trials are compared: through is the pessimistic bound."""
    sampler: Sampler = "tpe"
    """What suggests settings: from the results so far (tpe), or at random."""
    sampler_seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    """Fixes what is suggested."""
    pruner: Pruner = "median"
    """Ends trials early that are below the median of the others, or none."""
    jobs: Annotated[int, Within(1, 1024)] = 1
    """Trials at the same time."""
    workers: Workers = "processes"
    """Where they run: in processes of their own, or in threads of this one, which take turns."""
    ray: str | None = None
    """host:port of the head of a Ray cluster that runs the trials, or auto; then --jobs of them at
    a time, each with as many processors as it has threads."""
    final: bool = True
    """Train with the best settings and evaluate on the events that no trial has seen."""
