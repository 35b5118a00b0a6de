"""What can be searched, and what is said of a file that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_train.config import TrainConfig
from kalshi_train.tune.space import DEFAULTS, SearchSpace

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "n_epochs": {"low": 2, "high": 10, "step": 2},
    "latency_ms": {"low": 0, "high": 500},
    "depth": {"choices": [5, 10]},
    "net_arch": {"choices": [[64, 64], [128]]},
    "pricing": {"choices": ["cross", "join"]},
    "normalize": {"choices": [True, False]},
}


@pytest.mark.parametrize("algorithm", sorted(DEFAULTS))
def test_every_algorithm_has_a_space(algorithm: str) -> None:
    config = TrainConfig().changed(algorithm=algorithm)
    space = SearchSpace.of(config)
    assert {d.name for d in space.dimensions} == set(DEFAULTS[algorithm])
    assert set(space.distributions()) == set(DEFAULTS[algorithm])


def test_a_file_names_settings_of_every_part(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    space = SearchSpace.of(TrainConfig(), tmp_path / "space.json")
    assert space.to_json() == SPACE
    ends = {d.name: json.dumps(d.to_json()) for d in space.dimensions}
    assert set(ends) == set(SPACE)
    params = {
        "learning_rate": 1e-3,
        "n_epochs": 4,
        "latency_ms": 100,
        "depth": "5",
        "net_arch": "[128]",
        "pricing": '"join"',
        "normalize": "true",
    }
    config = TrainConfig().changed(**space.settings(params))
    assert config.learner.net_arch == (128,)
    assert (config.sim.pricing, config.sim.latency_ms, config.tape.depth) == ("join", 100, 5)
    assert config.learner.normalize is True
    assert config.learner.n_epochs == 4


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "it names no setting"),
        ({"colour": {"low": 1, "high": 2}}, "unknown setting colour"),
        ({"seed": {"low": 1, "high": 2}}, "seed is the same for all trials"),
        ({"min_episode_length": {"low": 5, "high": 9}}, "is the same for all trials"),
        ({"gamma": 3}, "gamma needs"),
        ({"gamma": {"low": 0.9}}, "gamma needs"),
        ({"gamma": {"low": 0.9, "high": 1.5}}, "gamma=1.5: must be a number"),
        ({"gamma": {"low": 0.9, "high": 0.9}}, "gamma from 0.9 to 0.9 is no range"),
        ({"ent_coef": {"low": 0, "high": 0.1, "log": True}}, "with log it begins above 0"),
        ({"gamma": {"low": 0.9, "high": 1, "width": 2}}, "it has width"),
        ({"n_epochs": {"low": 1.5, "high": 3}}, "n_epochs is a whole number"),
        ({"pricing": {"low": 1, "high": 3}}, "pricing is no number; give its choices"),
        ({"pricing": {"choices": ["cross", "hope"]}}, "pricing='hope': allowed are"),
        ({"pricing": {"choices": ["cross", "cross"]}}, "has a choice twice"),
        ({"exploration_fraction": {"low": 0.1, "high": 0.5}}, "is a setting of dqn"),
        ({"gamma": {"low": 0.9, "high": 1.0, "step": -1}}, "takes a step above 0"),
        ({"n_epochs": {"low": 2, "high": 4, "step": 10}}, "takes a step above 0 that its range"),
        ({"n_epochs": {"low": 2, "high": 11, "step": 2}}, "steps of 2; let it end at 10"),
        ({"gamma": {"low": 0.9, "high": 0.99, "step": 0.04}}, "of 0.04; let it end at 0.98"),
        ({"n_epochs": {"low": 2, "high": float("inf")}}, "n_epochs needs"),
        ({"gamma": {"low": 0.9, "high": 1.0, "step": float("nan")}}, "gamma needs"),
        ({"gamma": {"low": 0.9, "high": 1.0, "log": 1}}, '"log" of gamma is true or false'),
        ({"gamma": {"choices": [1, 1.0]}}, "has a choice twice"),
    ],
)
def test_a_wrong_entry_is_named(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=r"^space.json: ") as caught:
        SearchSpace.from_json(entry, TrainConfig(), "space.json")
    assert said in str(caught.value)


def test_what_a_file_gives_twice_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text('{"gamma": {"low": 0.9, "high": 1}, "gamma": {"low": 0.1, "high": 0.2}}')
    with pytest.raises(ConfigError, match=r"space.json: gamma is given twice"):
        SearchSpace.of(TrainConfig(), file)
