"""Where the policies of an evaluation play: in this process, or wherever another `Plays` says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.target import chosen_device
from kalshi_sim.tape import Tape
from kalshi_train.evaluation.card_play import Card
from kalshi_train.evaluation.diagnosis import Diagnosis, diagnose
from kalshi_train.evaluation.episodes import evaluation_config, play_all
from kalshi_train.evaluation.figures import TotalFigures
from kalshi_train.evaluation.measure import Episode, measure
from kalshi_train.evaluation.permutation import PermutationNull, permutation_null
from kalshi_train.evaluation.policies import Policy

OneMore = Callable[[], None]
"""Called when one more play of all markets is over."""


@dataclass(frozen=True, eq=False)
class Group:
    """A policy that plays all markets under each of some settings."""

    policy: Policy
    rules: tuple[SimConfig, ...]
    """Which hold the policy's own settings where they are to hold."""


@dataclass(frozen=True, eq=False)
class Look:
    """A policy whose choices are looked into, and what it came to under the chosen fill model."""

    policy: Policy
    total: TotalFigures
    steps: int


class Plays(Protocol):
    """What plays the policies of an evaluation; the figures do not depend on where."""

    def episodes(
        self, groups: Sequence[Group], seed: int, one_more: OneMore
    ) -> Iterator[list[Episode]]:
        """Play.

        Args:
            groups: who plays under which settings.
            seed: of the random baseline.
            one_more: called after each.

        Yields:
            The episodes of a policy under one of its settings, by view; in the order of the groups
            and their settings.
        """
        ...

    def diagnoses(
        self, looks: Sequence[Look], config: SimConfig, seeds: int, how: Mapping[str, Any]
    ) -> list[Diagnosis]:
        """Look into why policies trade as they do.

        Args:
            looks: at whose choices.
            config: settings of the simulation.
            seeds: how often actions are drawn.
            how: confidence, resamples and seed.

        Returns:
            One each.
        """
        ...

    def nulls(
        self,
        looks: Sequence[Look],
        config: SimConfig,
        permutations: int,
        seed: int,
        one_more: OneMore,
    ) -> list[PermutationNull]:
        """Play with the features of other events.

        Args:
            looks: who plays.
            config: settings of the simulation.
            permutations: how often.
            seed: of the permutations.
            one_more: called after each.

        Returns:
            One each.
        """
        ...


class PlaysHere:
    """This process plays, one group after the other."""

    def __init__(self, tape: Tape, device: str = "cpu") -> None:
        """Copy the tape to a graphics card, if one is to play.

        Args:
            tape: the markets.
            device: as of `evaluate`.

        Raises:
            ConfigError: there is no card, or one with too little memory.
        """
        self._tape = tape
        self._card = Card(tape) if chosen_device(device) == "cuda" else None

    def episodes(
        self, groups: Sequence[Group], seed: int, one_more: OneMore
    ) -> Iterator[list[Episode]]:
        """Play; as `Plays` says.

        Args:
            groups: who plays under which settings.
            seed: of the random baseline.
            one_more: called after each.

        Yields:
            The episodes of a policy under one of its settings, by view.
        """
        for group in groups:
            for episodes in self._play(group, seed):
                one_more()
                yield episodes

    def _play(self, group: Group, seed: int) -> Iterator[list[Episode]]:
        tape, card = self._tape, self._card
        bare = replace(group.policy, settings={})
        if card is None or not bare.is_compiled or not group.rules:
            for one in group.rules:
                use = functools.partial(measure, tape, one.cash_start)
                yield play_all(tape, one, bare, use, seed=seed)
            return
        whole = [evaluation_config(bare.config(one)) for one in group.rules]
        cash = [one.cash_start for one in group.rules]
        yield from card.play(
            whole, bare, lambda k, played: measure(tape, cash[k], played), seed=seed
        )

    def diagnoses(
        self, looks: Sequence[Look], config: SimConfig, seeds: int, how: Mapping[str, Any]
    ) -> list[Diagnosis]:
        """Look into choices; as `Plays` says.

        Args:
            looks: at whose.
            config: settings of the simulation.
            seeds: how often actions are drawn.
            how: confidence, resamples and seed.

        Returns:
            One each.
        """
        return [
            diagnose(k.policy, self._tape, config, k.total, k.steps, seeds=seeds, **how)
            for k in looks
        ]

    def nulls(
        self,
        looks: Sequence[Look],
        config: SimConfig,
        permutations: int,
        seed: int,
        one_more: OneMore,
    ) -> list[PermutationNull]:
        """Play with features of other events; as `Plays` says.

        Args:
            looks: who plays.
            config: settings of the simulation.
            permutations: how often.
            seed: of the permutations.
            one_more: called after each.

        Returns:
            One each.
        """
        return [
            permutation_null(
                k.policy,
                self._tape,
                config,
                k.total.profit_per_market_cents,
                permutations=permutations,
                seed=seed,
                after_each=one_more,
                device="cpu" if self._card is None else "cuda",
            )
            for k in looks
        ]
