"""`kalshi-train --walk-forward K`: train on the past, hold out what came next, K times."""

from __future__ import annotations

from datetime import UTC, datetime

from kalshi_sim.errors import ConfigError
from kalshi_sim.units import MS_PER_SECOND
from kalshi_train.config import TrainConfig


def folds_of(config: TrainConfig, folds: int) -> list[TrainConfig]:
    """The settings of each run, in order of time; each has a folder of its own.

    The events, in the order they begin in, are cut into `folds` + 1 parts of about equal numbers.
    Run k is trained on the events that are over when part k begins, and holds out part k.

    Args:
        config: the settings of all; its folder holds theirs.
        folds: how many runs.

    Returns:
        As many configurations.

    Raises:
        ConfigError: the number is wrong, other settings say what is held out, a run is to be
            resumed, or there are too few events that begin at different times.
        NoViewsError: no market has rows enough.
    """
    if folds < 1:
        raise ConfigError(f"--walk-forward {folds}: must be 1 or more")
    if config.resume_from is not None:
        raise ConfigError("--walk-forward starts runs anew; resume each from its own folder")
    if config.eval_from or config.eval_until or config.eval_sessions:
        raise ConfigError("--walk-forward says what is held out; leave out --eval-from and others")
    from kalshi_train.data.prepare import all_markets

    tape = all_markets(config)
    begins: dict[str, int] = {}
    ends_at: dict[str, int] = {}
    for view, (begin, last) in zip(tape.views, tape.spans_ms().tolist(), strict=True):
        begins[view.event] = min(begin, begins.get(view.event, begin))
        ends_at[view.event] = max(last, ends_at.get(view.event, last))
    times = sorted(begins.values())
    starts = [times[len(times) * k // (folds + 1)] for k in range(1, folds + 1)]
    if len(set(starts)) < folds or starts[0] == times[0]:
        raise ConfigError(
            f"--walk-forward {folds}: {len(times)} events begin at too few different times; take "
            "fewer folds, or more sessions"
        )
    if min(ends_at.values()) >= starts[0]:
        raise ConfigError(
            f"--walk-forward {folds}: no event is over before {_text(starts[0])}, when those that "
            "the first run holds out begin, so it has nothing to train on; add earlier sessions"
        )
    ends: list[str | None] = [*map(_text, starts[1:]), None]
    path = config.model_save_path
    return [
        config.changed(
            eval_from=_text(start),
            eval_until=end,
            model_save_path=path.parent / f"fold-{k}" / path.name,
        )
        for k, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def _text(ms: int) -> str:
    time = datetime.fromtimestamp(ms / MS_PER_SECOND, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
