"""What happens around the rollouts: metrics, held-out evaluation, checkpoints.

All of it happens at rollout boundaries, so that a checkpoint is a point from which the rest of
the run follows exactly.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback

from kalshi_sim.files import whole_file
from kalshi_sim.interrupts import Interrupted, StopRequest
from kalshi_train.evaluation.heldout import HeldoutResult, play_heldout
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.learner.card_rollout import CardRolloutBuffer
from kalshi_train.learner.group import ALONE, Group
from kalshi_train.training import checkpoints
from kalshi_train.training.metrics import MIN_STEPS_PER_RECORD, TradingMetrics
from kalshi_train.training.model_state import model_state
from kalshi_train.training.state import RunState
from kalshi_train.training.together import (
    Boundary,
    Info,
    Played,
    action_counts,
    finished,
    own_state,
    played_by_all,
    set_entropy,
    state_of_all,
)

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_sim.vec_env import KalshiVecEnv
    from kalshi_train.config import TrainConfig
    from kalshi_train.environments.curriculum import SimpleSessionCurriculum

logger = logging.getLogger(__name__)

EVALUATIONS: Final = Path("eval_logs") / "evaluations.npz"
BEST_MODEL: Final = Path("best_model") / "best_model.zip"


AfterEvaluation = Callable[[int, HeldoutResult], None]
"""Called with the steps and the result of a held-out evaluation."""


class Display(Protocol):
    """Where a run shows what it does."""

    def record(self, steps: int, values: Mapping[str, Any]) -> None:
        """Show the figures of a record.

        Args:
            steps: environment steps so far.
            values: figures by name.
        """
        ...

    def evaluating(self, markets: int) -> AbstractContextManager[None]:
        """Say that so many held-out markets are played, while the block runs."""
        ...


class TrainingCallback(BaseCallback):
    """Ties metrics, curriculum, evaluation and checkpoints to Stable-Baselines3's loop."""

    def __init__(
        self,
        config: TrainConfig,
        env: KalshiVecEnv,
        curriculum: SimpleSessionCurriculum,
        metrics: TradingMetrics,
        state: RunState,
        heldout: Tape | None,
        display: Display,
        data_digest: str,
        stop: StopRequest | None = None,
        after_evaluation: AfterEvaluation | None = None,
        folder: Path | None = None,
        group: Group = ALONE,
    ):
        """Set up for one call of `learn`.

        Args:
            config: the settings of the run, resolved.
            env: the environments that are trained on.
            curriculum: order and results of the markets.
            metrics: collects what is recorded.
            state: what the run remembers across a resume.
            heldout: the markets to evaluate on; if None, nothing is evaluated.
            display: shows records and evaluations.
            data_digest: names the views that the environments play.
            stop: whether the run is to be saved and ended; None: it never is.
            after_evaluation: called with each held-out result; what it raises ends the run.
            folder: where the run writes; by default the one its settings name.
            group: the learners that train the model, of which this is the first.
        """
        super().__init__()
        self.config = config
        self.curriculum = curriculum
        self.metrics = metrics
        self.state = state
        self.last_heldout: HeldoutResult | None = None
        self.evaluation_seconds = 0.0
        """Time that held-out evaluation took in this call."""
        self._env = env
        self._heldout = heldout
        self._display = display
        self._data_digest = data_digest
        self._stop = stop or StopRequest()
        self._after_evaluation = after_evaluation
        self._folder = config.run_folder if folder is None else folder
        self._group = group
        self._infos: list[Info] = []
        """Of the episodes that ended in this rollout."""
        self._rollouts = 0
        self._recorded_at = 0
        self._mark = 0.0
        self._learning = False
        self._actions: list[npt.NDArray[Any]] = []
        """Of the rollout, where no buffer has them."""

    def _on_training_start(self) -> None:
        self._recorded_at = self.num_timesteps
        self._boundary = Boundary(self._group, self.model, self._env)
        self.metrics.begin(state_of_all(self._group, self._env.state()))

    def _on_rollout_start(self) -> None:
        """The boundary: the last rollout is learned, the next not begun."""
        self._between_rollouts(last=False)

    def _on_step(self) -> bool:
        if "rollout_buffer" not in self.locals:
            self._actions.append(np.array(self.locals["actions"]))
        self._infos += finished(self.locals)
        return True

    def _on_rollout_end(self) -> None:
        self.metrics.clock.collect += time.perf_counter() - self._mark
        self._infos += self.locals.get("finished_infos", [])
        buffer = self.locals.get("rollout_buffer")
        n_actions = len(self.metrics.action_names)
        if isinstance(buffer, CardRolloutBuffer):
            counts = buffer.action_counts(n_actions)
        else:
            actions = np.stack(self._actions) if buffer is None else buffer.actions
            counts = action_counts(actions, n_actions)
        own = Played(self._infos, counts, self._env.state())
        everyone = played_by_all(self._group, own)
        self.curriculum.record(everyone.infos)
        self.metrics.finished(everyone.infos)
        self.metrics.rollout(everyone.state, everyone.counts)
        self._infos = []
        self._actions.clear()
        self.state.episodes = self.metrics.episodes
        self._rollouts += 1
        self._learning = True
        self._mark = time.perf_counter()

    def _on_training_end(self) -> None:
        self._between_rollouts(last=True)

    def _between_rollouts(self, *, last: bool) -> None:
        now = time.perf_counter()
        if self._learning:
            self.metrics.clock.learn += now - self._mark
        evaluated = self.metrics.clock.evaluate
        self.boundary(last=last)
        evaluated -= self.metrics.clock.evaluate
        self.metrics.clock.other += time.perf_counter() - now + evaluated
        enough = self.num_timesteps - self._recorded_at >= MIN_STEPS_PER_RECORD
        due = enough and self._rollouts >= (self.config.log_interval or 1)
        if self._rollouts and (last or due):
            self._record()
        set_entropy(self.model, self.config)
        self._mark = time.perf_counter()

    def boundary(self, *, last: bool) -> None:
        """Evaluate and save where it is due; at the end of a run both are."""
        steps, config, state = self.num_timesteps, self.config, self.state
        self.curriculum.update(self._env)
        begun = steps > 0
        eval_due = begun and (last or _passed(state.evaluated_at, steps, config.eval_freq))
        eval_due = eval_due and self._heldout is not None
        save_due = begun and (last or _passed(state.saved_at, steps, config.save_freq))
        asked = None if last else self._stop.signum
        signum = self._boundary.agree(asked, needs_states=eval_due or save_due)
        if signum is not None:
            self._save_and_stop(signum)
        if not self._boundary.waits:
            self._evaluate_and_save(evaluates=eval_due, saves=save_due)
            return
        with self._boundary.leading():
            self._evaluate_and_save(evaluates=eval_due, saves=save_due)

    def _evaluate_and_save(self, *, evaluates: bool, saves: bool) -> None:
        if evaluates and self._heldout is not None:
            try:
                with self._stop.at_once():
                    result = self._play(self._heldout)
            except Interrupted as interrupted:
                self._save_and_stop(interrupted.signum)
            self._evaluated(result)
        if saves:
            self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        self.state.saved_at = self.num_timesteps
        path = checkpoints.checkpoint_path(self._folder, self.num_timesteps)
        self.save(path)

    def _save_and_stop(self, signum: int) -> NoReturn:
        """Leave a checkpoint of this boundary, and the run.

        Raises:
            Interrupted: always.
        """
        if self.num_timesteps > 0:
            if self.state.saved_at != self.num_timesteps:
                self._save_checkpoint()
            raise Interrupted(
                signum,
                f"interrupted and saved at {self.num_timesteps:,} steps; go on with: "
                f"{checkpoints.resume_command(self.config.run_folder)}",
            )
        raise Interrupted(signum)

    def left_by(self, stopped: Interrupted) -> Interrupted:
        """What is left of a run that did not end at a boundary, as a second signal does.

        Args:
            stopped: what ended it.

        Returns:
            The same, or one that names the last checkpoint.
        """
        saved, steps = self.state.saved_at, self.num_timesteps
        if str(stopped) != str(Interrupted(stopped.signum)) or steps == 0:
            return stopped
        if not checkpoints.checkpoint_path(self._folder, saved).exists():
            return Interrupted(stopped.signum, f"interrupted at once: {steps:,} steps are lost")
        return Interrupted(
            stopped.signum,
            f"interrupted at once: the {steps - saved:,} steps since the last checkpoint are lost; "
            f"go on with: {checkpoints.resume_command(self.config.run_folder)}",
        )

    def save(self, path: Path, **more: Any) -> None:
        """Write model and state of the run, and `more` of it by name, whole or not at all."""
        checkpoints.write_checkpoint(path, self.model, self._run() | more, self._arrays())
        logger.debug("saved %s", path)

    def _record(self) -> None:
        values = self.metrics.record()
        for key, value in values.items():
            self.logger.record(key, value)
        shown = values | {k: v for k, v in self.logger.name_to_value.items() if k not in values}
        self._display.record(self.num_timesteps, shown)
        self.logger.dump(step=self.num_timesteps)
        self._recorded_at = self.num_timesteps
        self._rollouts = 0

    def _play(self, heldout: Tape) -> HeldoutResult:
        if self.state.evaluated_at == self.num_timesteps and self.last_heldout is not None:
            return self.last_heldout
        begin = time.perf_counter()
        with self._display.evaluating(len(heldout.views)):
            policy = policy_from_model(self.model, self.config.learner.algorithm)
            result = play_heldout(
                heldout, self.config.evaluation, policy, n_threads=self.config.num_threads
            )
        seconds = time.perf_counter() - begin
        self.evaluation_seconds += seconds
        self.metrics.clock.evaluate += seconds
        verdict = result.verdict(len(self.state.eval_steps) + 1)
        logger.info("%s steps: %s (%.1f s)", f"{self.num_timesteps:,}", verdict, seconds)
        return result

    def _evaluated(self, result: HeldoutResult) -> None:
        steps, state = self.num_timesteps, self.state
        if result is self.last_heldout:
            return
        self.last_heldout = result
        if state.evaluated_at != steps:
            state.evaluated_at = steps
            state.eval_steps.append(steps)
            state.eval_profits.append(result.profit.tolist())
            state.eval_rewards.append(result.rewards.tolist())
            state.eval_lengths.append(result.lengths.tolist())
        self._write_evaluations(result)
        for key, value in result.summary().items():
            if value is not None:
                self.logger.record(f"heldout/{key}", value)
        if state.best_profit is None or result.mean_profit > state.best_profit:
            state.best_profit, state.best_at = result.mean_profit, steps
            chosen = {"among": len(state.eval_steps), "on": _markets(self._heldout)}
            self.save(self._folder / BEST_MODEL, chosen=chosen)
        if self._after_evaluation is not None:
            self._after_evaluation(steps, result)

    def _write_evaluations(self, result: HeldoutResult) -> None:
        """As SB3's EvalCallback writes them: results [n_evaluations, n_views], and more."""
        state = self.state
        with whole_file(self._folder / EVALUATIONS) as path, path.open("wb") as file:
            np.savez_compressed(
                file,
                timesteps=np.array(state.eval_steps, dtype=np.int64),
                results=np.array(state.eval_rewards),
                ep_lengths=np.array(state.eval_lengths, dtype=np.int64),
                profit_cents=np.array(state.eval_profits),
                tickers=np.array(result.tickers),
                events=np.array(result.events),
            )

    def _run(self) -> dict[str, Any]:
        model = self.model
        infos = model.ep_info_buffer or ()
        return {
            "run_started_ns": self.state.run_started_ns,
            "num_timesteps": model.num_timesteps,
            "n_updates": model._n_updates,
            "episode_num": model._episode_num,
            "ep_info_buffer": [
                {k: v.item() if hasattr(v, "item") else v for k, v in info.items()}
                for info in infos
            ],
            "progress": json.loads(json.dumps(vars(self.state))),
            "data": self._data_digest,
            "trained_on": _markets(self._env.tape),
            "config": self.config.to_json(),
        }

    def _arrays(self) -> checkpoints.Arrays:
        others = {str(rank): state for rank, state in enumerate(self._boundary.others, 1)}
        return checkpoints.flatten(
            {
                **own_state(self.model, self._env),
                "curriculum": self.curriculum.state(),
                "model": model_state(self.model),
                "others": others,
            }
        )


def _markets(tape: Tape | None) -> list[tuple[int, str, str]]:
    """Session, ticker and event of a tape's views."""
    views = () if tape is None else tape.views
    return [(v.session_id, v.market_ticker, v.event) for v in views]


def _passed(before: int, now: int, frequency: int | None) -> bool:
    """Whether a multiple of `frequency` lies after `before` and not after `now`."""
    every = frequency or 1
    return now // every > before // every
