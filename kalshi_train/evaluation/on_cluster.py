"""An evaluation on a Ray cluster: a task plays one policy under one setting on a part of markets.

A node finds the tape through the store and its own cache, by the tape's key; a policy travels as
the file it was made of. Figures are made of the episodes here, as those of one machine are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kalshi_sim.cluster import Job, Resources, Send, Tasks
from kalshi_sim.config import SimConfig, TapeOptions
from kalshi_sim.errors import ConfigError
from kalshi_sim.fees import FeeSchedule, chosen_schedule
from kalshi_sim.shared_tapes import named_place, use_place
from kalshi_sim.store import absolute_address, fingerprints, open_store
from kalshi_sim.tape import Tape
from kalshi_sim.tape_cache import load_tape, tape_key
from kalshi_train.evaluation.diagnosis import Diagnosis, diagnose
from kalshi_train.evaluation.episodes import BATCH
from kalshi_train.evaluation.measure import Episode
from kalshi_train.evaluation.permutation import PermutationNull
from kalshi_train.evaluation.plays import Group, Look, OneMore, PlaysHere
from kalshi_train.evaluation.policies import Policy
from kalshi_train.evaluation.sources import PolicySource

PART: Final = 4 * BATCH
"""Markets of a task; whole batches, so that each policy sees those it sees on one machine."""


@dataclass(frozen=True)
class TapeSource:
    """Markets of stored sessions, as a node finds them."""

    store: str
    """As the node opens it."""
    session_ids: tuple[int, ...]
    options: TapeOptions
    schedule: FeeSchedule
    key: str
    """Of the tape of these sessions."""
    markets: tuple[tuple[int, str], ...]
    """Session and ticker of each, in the order of the evaluation."""
    use_cache: bool
    shared_tapes: str
    """What KALSHI_SIM_SHARED_TAPES is here; empty: as it is there."""

    @staticmethod
    def of(
        tape: Tape,
        store: str | None,
        session_ids: Sequence[int],
        options: TapeOptions,
        *,
        use_cache: bool = True,
    ) -> TapeSource:
        """Of markets that were chosen here.

        Args:
            tape: those markets.
            store: where the sessions are, as `open_store` takes it.
            session_ids: all sessions of the tape they were chosen from, in its order.
            options: of that tape.
            use_cache: keep it on the nodes.

        Returns:
            What a node needs to know.

        Raises:
            StoreError: the store cannot be read.
        """
        schedule = chosen_schedule(None, options.fee_schedule)
        bare = replace(options, fee_schedule=None)
        return TapeSource(
            store=absolute_address(store),
            session_ids=tuple(session_ids),
            options=bare,
            schedule=schedule,
            key=tape_key(fingerprints(open_store(store), session_ids), bare, schedule),
            markets=tuple((v.session_id, v.market_ticker) for v in tape.views),
            use_cache=use_cache,
            shared_tapes=named_place(),
        )

    def tape(self) -> Tape:
        """The markets, on the node that calls it.

        Returns:
            Their tape, mapped from the node's cache where possible.

        Raises:
            ConfigError: the store there holds other sessions of these numbers.
            StoreError: it cannot be read.
        """
        use_place(self.shared_tapes)
        store = open_store(self.store)
        ids = list(self.session_ids)
        if tape_key(fingerprints(store, ids), self.options, self.schedule) != self.key:
            raise ConfigError(
                "a node of the cluster finds other sessions in the store, or has another version "
                "of this package, than this machine; name a store that every node reaches"
            )
        tape = load_tape(
            store, ids, self.options, fee_schedule=self.schedule, use_cache=self.use_cache
        )
        place = {(v.session_id, v.market_ticker): i for i, v in enumerate(tape.views)}
        return tape.select([place[market] for market in self.markets])


Shared = tuple[TapeSource, PolicySource]
"""What all tasks of a policy need."""


@dataclass(frozen=True)
class _Play:
    rules: tuple[SimConfig, ...]
    views: tuple[int, ...]
    seed: int
    device: str


@dataclass(frozen=True)
class _Diagnosis:
    look: Look
    """Its policy is a blank here."""
    config: SimConfig
    seeds: int
    how: dict[str, Any]


@dataclass(frozen=True)
class _Null:
    look: Look
    config: SimConfig
    permutations: int
    seed: int
    device: str


class PlaysOnCluster:
    """Plays as tasks of a cluster; as `Plays` says."""

    def __init__(
        self,
        address: str,
        tape: TapeSource,
        sources: Sequence[PolicySource],
        device: str = "cpu",
    ) -> None:
        """Nothing begins yet.

        Args:
            address: of the cluster's head, or auto.
            tape: the markets.
            sources: of the policies that are not built in.
            device: cuda plays built-in policies and small networks on a graphics card of a node.
        """
        self._address, self._tape, self._device = address, tape, device
        self._sources = {s.name: s for s in sources}
        self._shares: dict[str, Shared] = {}

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
        n = len(self._tape.markets)
        parts = [tuple(range(i, min(n, i + PART))) for i in range(0, n, PART)]
        jobs: list[Job] = []
        places: list[list[int]] = []
        """Of the settings of each job among those of all groups."""
        count = 0
        for group in groups:
            at = list(range(count, count + len(group.rules)))
            count += len(at)
            if self._device == "cuda" and group.policy.is_compiled and at:
                jobs.append(self._play(group.policy, group.rules, tuple(range(n)), seed, "cuda"))
                places.append(at)
                continue
            for place, one in zip(at, group.rules, strict=True):
                for part in parts:
                    jobs.append(self._play(group.policy, (one,), part, seed, "cpu"))
                    places.append([place])
        found: list[dict[int, Episode]] = [{} for _ in range(count)]
        for index, played in Tasks(self._address, jobs).results():
            for place, episodes in zip(places[index], played, strict=True):
                found[place] |= {e.index: e for e in episodes}
                if len(found[place]) == n:
                    one_more()
        for each in found:
            yield [each[i] for i in range(n)]

    def _play(
        self,
        policy: Policy,
        rules: tuple[SimConfig, ...],
        views: tuple[int, ...],
        seed: int,
        device: str,
    ) -> Job:
        return Job(
            f"{policy.name} under {rules[0].fill_model}",
            _play_there,
            _Play(rules, views, seed, device),
            Resources(1, int(device == "cuda")),
            self._shared(policy),
        )

    def _shared(self, policy: Policy) -> Shared:
        """The same object for all tasks of a policy, so that it travels once."""
        source = self._sources.get(policy.name) or PolicySource(policy.name)
        return self._shares.setdefault(policy.name, (self._tape, source))

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
        jobs = [
            Job(
                f"{k.policy.name}, drawn actions",
                _diagnose_there,
                _Diagnosis(_bare(k), config, seeds, dict(how)),
                shared=self._shared(k.policy),
            )
            for k in looks
        ]
        return self._all(jobs)

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
            one_more: called after each, once a policy is over.

        Returns:
            One each.
        """
        cards = int(self._device == "cuda")
        jobs = [
            Job(
                f"{k.policy.name}, permutations",
                _permute_there,
                _Null(_bare(k), config, permutations, seed, self._device),
                Resources(1, cards),
                self._shared(k.policy),
            )
            for k in looks
        ]
        return self._all(jobs, permutations, one_more)

    def _all(self, jobs: list[Job], times: int = 0, one_more: OneMore = lambda: None) -> list[Any]:
        found: dict[int, Any] = {}
        for index, result in Tasks(self._address, jobs).results():
            found[index] = result
            for _ in range(times):
                one_more()
        return [found[i] for i in range(len(jobs))]


def _bare(look: Look) -> Look:
    """Without what its policy holds, which need not travel."""
    return replace(look, policy=Policy(look.policy.name, ""))


_held: list[tuple[Shared, Tape, Policy]] = []
"""What the last task of this process played: the next one mostly plays the same."""


def _made(shared: Shared) -> tuple[Tape, Policy]:
    tape = next((t for (source, _), t, _ in _held if source == shared[0]), None)
    policy = next((p for (_, source), _, p in _held if source == shared[1]), None)
    _held.clear()
    _held.append((shared, tape or shared[0].tape(), policy or shared[1].policy()))
    return _held[0][1:]


def _play_there(task: _Play, send: Send, shared: Shared) -> list[list[Episode]]:
    """A node's part: the episodes by settings."""
    tape, policy = _made(shared)
    part = tape.select(task.views)
    plays = PlaysHere(part, task.device)
    found = plays.episodes([Group(policy, task.rules)], task.seed, lambda: None)
    return [[replace(e, index=task.views[e.index]) for e in episodes] for episodes in found]


def _diagnose_there(task: _Diagnosis, send: Send, shared: Shared) -> Diagnosis:
    tape, policy = _made(shared)
    look = task.look
    return diagnose(policy, tape, task.config, look.total, look.steps, seeds=task.seeds, **task.how)


def _permute_there(task: _Null, send: Send, shared: Shared) -> PermutationNull:
    tape, policy = _made(shared)
    look = replace(task.look, policy=policy)
    plays = PlaysHere(tape, task.device)
    (found,) = plays.nulls([look], task.config, task.permutations, task.seed, lambda: None)
    return found
