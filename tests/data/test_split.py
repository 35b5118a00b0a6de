from __future__ import annotations

from dataclasses import dataclass

import pytest

from kalshi_sim.errors import ConfigError
from kalshi_train.data.split import split_by_event, split_by_session


@dataclass
class View:
    session_id: int
    event: str


def views(n_events: int) -> list[View]:
    return [View(i % 2, f"E{i}") for i in range(n_events) for _ in range(2)]


def test_an_event_is_on_one_side_only() -> None:
    all_views = views(9)
    split = split_by_event(all_views, 0.2, seed=0)
    train = {all_views[i].event for i in split.train}
    heldout = {all_views[i].event for i in split.heldout}
    assert not train & heldout
    assert (len(train), len(heldout)) == (7, 2)
    assert sorted([*split.train, *split.heldout]) == list(range(18))


def test_split_is_by_seed_alone() -> None:
    first, again = (split_by_event(views(20), 0.2, seed=3) for _ in range(2))
    assert first.heldout.tolist() == again.heldout.tolist()
    reversed_views = views(20)[::-1]
    other = split_by_event(reversed_views, 0.2, seed=3)
    assert {views(20)[i].event for i in first.heldout} == {
        reversed_views[i].event for i in other.heldout
    }
    chosen = {tuple(split_by_event(views(20), 0.2, seed=s).heldout) for s in range(10)}
    assert len(chosen) > 5


@pytest.mark.parametrize(("n_events", "fraction", "held"), [(2, 0.01, 1), (3, 0.9, 2), (1, 0.5, 0)])
def test_both_sides_have_an_event_if_there_are_two(
    n_events: int, fraction: float, held: int
) -> None:
    split = split_by_event(views(n_events), fraction, seed=0)
    assert len(split.heldout) == 2 * held
    assert len(split.train) == 2 * (n_events - held)


def test_fraction_zero_holds_out_none() -> None:
    split = split_by_event(views(5), 0.0, seed=0)
    assert not len(split.heldout)
    assert split.rule == "none"


def test_sessions_are_held_out_whole() -> None:
    all_views = views(6)
    split = split_by_session(all_views, [1])
    assert {all_views[i].session_id for i in split.heldout} == {1}
    assert {all_views[i].session_id for i in split.train} == {0}
    with pytest.raises(ConfigError, match="none of these"):
        split_by_session(all_views, [7])
    with pytest.raises(ConfigError, match="no market to train on"):
        split_by_session(all_views, [0, 1])
