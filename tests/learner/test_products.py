"""Which library multiplies is measured once on a machine, and stays with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch as th

from kalshi_train.learner import network, products
from kalshi_train.learner.algorithms import FastPPO
from kalshi_train.learner.products import linear, quicker_with_onednn
from tests.learner.test_algorithms import WalkVecEnv

SHAPES = [(64, 64), (8, 64), (64, 64)]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is measured from now on, in an empty cache; wide weights are the quicker ones."""
    monkeypatch.setenv("KALSHI_SIM_CACHE", str(tmp_path))
    monkeypatch.setattr(products, "has_onednn", lambda: True)
    asked: list[tuple[int, int]] = []

    def is_quicker(shape: tuple[int, int]) -> bool:
        asked.append(shape)
        return shape[0] > 8

    monkeypatch.setattr(products, "_is_quicker", is_quicker)
    return asked


def test_a_machine_measures_each_shape_once(
    measured: list[tuple[int, int]], tmp_path: Path
) -> None:
    assert quicker_with_onednn(SHAPES) == [(64, 64)]
    assert quicker_with_onednn([*SHAPES, (9, 1)]) == [(9, 1), (64, 64)]
    assert measured == [(8, 64), (64, 64), (9, 1)]
    (kept,) = (tmp_path / "products").glob("*.json")
    kept.write_text("{")
    assert quicker_with_onednn(SHAPES) == [(64, 64)]
    assert measured[3:] == [(8, 64), (64, 64)]


def test_without_a_cache_it_is_measured_each_time(
    measured: list[tuple[int, int]], tmp_path: Path
) -> None:
    (tmp_path / "products").write_text("no folder")
    assert [quicker_with_onednn(SHAPES) for _ in range(2)] == [[(64, 64)]] * 2
    assert measured == [(8, 64), (64, 64)] * 2


def test_the_measurement_leaves_torch_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_SIM_CACHE", str(tmp_path))
    before = th.get_num_threads()
    assert set(quicker_with_onednn(SHAPES)) <= set(SHAPES)
    assert th.get_num_threads() == before


def test_both_libraries_give_the_product() -> None:
    x, weight = th.rand(500, 30), th.rand(40, 30)
    for onednn in (False, True):
        th.testing.assert_close(linear(x, weight, th.empty(500, 40), onednn), x @ weight.t())


def test_a_model_keeps_what_it_began_with(
    measured: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FastPPO("MlpPolicy", WalkVecEnv(4), n_steps=8, batch_size=8, device="cpu")
    assert model.by_onednn
    model.save(tmp_path / "model.zip")

    def not_again(shapes: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr(network, "quicker_with_onednn", not_again)
    again = FastPPO.load(tmp_path / "model.zip", env=WalkVecEnv(4), device="cpu")
    assert again._network is not None
    assert again._network.by_onednn == model.by_onednn
    assert [layer.onednn for layer in again._network.nets[0]] == [True, True, False]
