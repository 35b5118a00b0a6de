"""Models of sb3-contrib: evaluated as its own helper plays them, and read without running code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import torch
from sb3_contrib import QRDQN, TRPO, MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable import evaluation as maskable
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.maskable.utils import get_action_masks
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common import evaluation as stock
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from kalshi_sim import (
    KalshiVecEnv,
    MarketAgnosticKalshiEnv,
    SimConfig,
    Tape,
    build_tape,
    open_store,
)
from kalshi_sim.errors import ConfigError, MissingExtraError
from kalshi_sim.synthetic.session import generate_session
from kalshi_train.cli.train import evaluate_main
from kalshi_train.evaluation import evaluate
from kalshi_train.evaluation.heldout import play_heldout
from kalshi_train.evaluation.policies import policy_from_model
from kalshi_train.models import load_model
from kalshi_train.training.checkpoints import check_model
from tests.support.models import Payload, rewritten, with_attribute

POLICY = {MaskablePPO: "MlpPolicy", RecurrentPPO: "MlpLstmPolicy"}
CONFIG = SimConfig(cash_start=2_000, max_position=30)
"""So little room that many actions are invalid."""


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Short markets: each row is a step of PyTorch."""
    return build_tape([generate_session(5, markets=4, minutes=10, seed=4, deltas=200)])


def made(kind: Any, env: Any) -> Any:
    """A network whose preferences are strong enough to differ from row to row."""
    kwargs = {"lstm_hidden_size": 16} if kind is RecurrentPPO else {}
    agent = kind(
        POLICY[kind], env, n_steps=8, batch_size=16, seed=6, device="cpu", policy_kwargs=kwargs
    )
    with torch.no_grad():
        agent.policy.action_net.weight.mul_(300)
        if kind is RecurrentPPO:
            for weight in agent.policy.lstm_actor.parameters():
                weight.mul_(4)
    return agent


@pytest.mark.parametrize("kind", POLICY)
def test_evaluated_as_its_own_helper_plays_it(kind: Any, tape: Tape) -> None:
    env = KalshiVecEnv(tape, len(tape.views), CONFIG)
    model = made(kind, env)
    ended: dict[int, Any] = {}

    def note(local: dict[str, Any], _: dict[str, Any]) -> None:
        if local["done"]:
            ended[local["info"]["market"]["view"]] = local["info"]["market"]

    helper: Callable[..., Any] = (
        maskable.evaluate_policy if kind is MaskablePPO else stock.evaluate_policy
    )
    helper(model, env, n_eval_episodes=len(tape.views), callback=note)
    found = play_heldout(tape, CONFIG, policy_from_model(model, "m"))
    expected = [ended[i] for i in range(len(tape.views))]
    assert (found.profit + CONFIG.cash_start).tolist() == [m["equity_cents"] for m in expected]
    assert found.columns["fills"].tolist() == [m["fills"] for m in expected]
    assert found.columns["fills"].any()
    invalid = found.columns["invalid_actions"]
    assert invalid.tolist() == [m["invalid_actions"] for m in expected]
    assert invalid.any() == (kind is RecurrentPPO)  # a mask leaves nothing invalid


def test_a_memory_belongs_to_its_episode(tape: Tape) -> None:
    model = made(RecurrentPPO, KalshiVecEnv(tape, 2, CONFIG))
    policy = policy_from_model(model, "m")
    whole = play_heldout(tape, CONFIG, policy)
    alone = play_heldout(tape.select([2]), CONFIG, policy)
    assert alone.profit.tolist() == [whole.profit[2]]
    seen = np.random.default_rng(0).uniform(-1, 1, (40, 1, 52)).astype(np.float32)
    choose, mask = policy.chooser(tape.views[:1]), np.ones((1, 5), np.bool_)
    remembered = [int(choose(np.zeros(1, int), row, mask)[0]) for row in seen]
    forgetful = [
        int(policy.chooser(tape.views[:1])(np.zeros(1, int), row, mask)[0]) for row in seen
    ]
    state, expected = None, []
    for row in seen:
        action, state = model.predict(row, state=state, deterministic=True)
        expected.append(int(action[0]))
    assert remembered == expected != forgetful


@pytest.mark.parametrize("kind", POLICY)
def test_a_saved_model_is_read_as_its_own_class_reads_it(
    kind: Any, tape: Tape, tmp_path: Path
) -> None:
    made(kind, KalshiVecEnv(tape, 2)).learn(32).save(tmp_path / "m.zip")
    theirs = kind.load(tmp_path / "m.zip", device="cpu")
    observations = np.random.default_rng(0).normal(size=(50, 52)).astype(np.float32)
    for trust in (False, True):
        ours = load_model(tmp_path / "m.zip", trust=trust)
        assert type(ours) is kind
        for name, values in theirs.policy.state_dict().items():
            assert torch.equal(ours.policy.state_dict()[name], values)
        np.testing.assert_array_equal(
            ours.predict(observations, deterministic=True)[0],
            theirs.predict(observations, deterministic=True)[0],
        )
    assert evaluate(tmp_path / "m.zip", tape).run("m").total.markets == len(tape.views)


class OwnPolicy(RecurrentActorCriticPolicy):
    """A policy class of a user's own."""


class OwnMasked(MaskableActorCriticPolicy):
    """Another."""


@pytest.mark.parametrize(("kind", "policy"), [(RecurrentPPO, OwnPolicy), (MaskablePPO, OwnMasked)])
def test_a_policy_class_of_ones_own_needs_trust(
    kind: Any, policy: Any, tape: Tape, tmp_path: Path
) -> None:
    model = kind(policy, KalshiVecEnv(tape, 2), n_steps=8, batch_size=16, device="cpu")
    model.save(tmp_path / "m.zip")
    with pytest.raises(ConfigError, match=r"its policy_class .*--trust"):
        load_model(tmp_path / "m.zip")
    assert type(load_model(tmp_path / "m.zip", trust=True)) is kind


@pytest.mark.parametrize("kind", POLICY)
def test_code_in_it_is_never_run(kind: Any, tape: Tape, tmp_path: Path) -> None:
    made(kind, KalshiVecEnv(tape, 2)).save(tmp_path / "m.zip")
    mark = tmp_path / "ran"
    for attribute in ("policy_class", "policy_kwargs", "rollout_buffer_class", "_last_obs"):
        payload = cloudpickle.dumps(Payload(mark))
        evil = rewritten(tmp_path / "m.zip", with_attribute(attribute, payload))
        try:
            load_model(evil)
        except ConfigError as error:
            assert "--trust" in str(error)  # noqa: PT017  # it may also be read without it
    assert not mark.exists()


@pytest.mark.parametrize("kind", POLICY)
def test_the_command_evaluates_it(
    kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = generate_session(1, markets=2, minutes=12, seed=1)
    open_store(tmp_path / "S").save(session)
    model = made(kind, MarketAgnosticKalshiEnv(store=str(tmp_path / "S"), session=1))
    model.save(tmp_path / "mine.zip")
    arguments = [str(tmp_path / "mine.zip"), "--store", str(tmp_path / "S"), "--session", "1"]
    page = tmp_path / "page.html"
    assert evaluate_main([*arguments, "--json", "--report", str(page)]) == 0
    assert "mine" in json.dumps(json.loads(capsys.readouterr().out))
    assert "mine" in page.read_text()


@pytest.mark.parametrize("kind", [TRPO, QRDQN])
def test_other_models_are_named(kind: Any, tape: Tape, tmp_path: Path) -> None:
    kind("MlpPolicy", MarketAgnosticKalshiEnv(tape), device="cpu").save(tmp_path / "m.zip")
    with pytest.raises(ConfigError, match=r"what can be read is PPO, A2C, DQN, and MaskablePPO"):
        load_model(tmp_path / "m.zip")


def test_training_does_not_go_on_with_it(tape: Tape, tmp_path: Path) -> None:
    made(MaskablePPO, KalshiVecEnv(tape, 2)).save(tmp_path / "m.zip")
    with pytest.raises(ConfigError, match="is a model of maskable-ppo, this run trains ppo"):
        check_model(tmp_path / "m.zip", "ppo", 1, 5)


def test_without_the_library_its_extra_is_named(tape: Tape, tmp_path: Path) -> None:
    made(RecurrentPPO, KalshiVecEnv(tape, 2)).save(tmp_path / "m.zip")
    store = str(tmp_path / "sessions")
    open_store(store).save(generate_session(1, markets=2, minutes=5, seed=1, deltas=50))
    code = (
        "import sys; sys.modules['sb3_contrib'] = None\n"
        "from kalshi_train.cli.train import evaluate_main\n"
        f"sys.exit(evaluate_main([{str(tmp_path / 'm.zip')!r}, '--session', '1', "
        f"'--store', {store!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("pip install 'kalshi-sim[contrib]'")
    assert issubclass(MissingExtraError, ImportError)


WRAPPERS: dict[str, Callable[[VecEnv], VecEnv]] = {
    "plain": lambda env: env,
    "normalized": VecNormalize,
    "stacked": lambda env: VecFrameStack(env, 3),
    "both": lambda env: VecFrameStack(VecNormalize(env), 2),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("kind", POLICY)
def test_it_trains_on_the_batch(kind: Any, wrapper: str, tape: Tape) -> None:
    inner = KalshiVecEnv(tape, 4, CONFIG)
    env = WRAPPERS[wrapper](inner)
    model = made(kind, env).learn(256)
    assert model.num_timesteps == 256
    np.testing.assert_array_equal(get_action_masks(env), inner.action_masks())
    if kind is MaskablePPO:
        assert not inner.state()["invalid_actions"].any()
    # Training without masks would have been told by them:
    stock_actions = np.random.default_rng(0).integers(0, 5, (300, 4))
    for actions in stock_actions:
        env.step(actions)
    assert inner.state()["invalid_actions"].any()
