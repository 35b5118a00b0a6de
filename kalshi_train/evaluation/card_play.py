"""Views of a tape played on a card, under several settings in one batch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from kalshi_sim import gate
from kalshi_sim.config import SimConfig
from kalshi_sim.cuda.arrays import tape_on_card
from kalshi_sim.cuda.memory import record_room, require_room, tape_bytes
from kalshi_sim.cuda.target import BLOCK, require_card
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.settings import settings_of
from kalshi_sim.tape import Tape
from kalshi_train.evaluation import kernels
from kalshi_train.evaluation.played import Played, make_track, played_of
from kalshi_train.evaluation.policies import Policy

Int64Array = npt.NDArray[np.int64]
T = TypeVar("T")

ROWS_A_LAUNCH: Final = 16_384
"""After so many rows the host looks at what has happened, and can be interrupted."""
FILL_BYTES: Final = 1 << 27
"""Of the fills that all episodes together have room for between two looks, about."""
ROW_BYTES: Final = 17
"""Of what is kept of a row."""
ADVICE: Final = "play fewer markets at a time, or use device cpu"


class Card:
    """A tape on a card, on which compiled policies play it."""

    def __init__(self, tape: Tape) -> None:
        """Copy the tape.

        Args:
            tape: the markets.

        Raises:
            ConfigError: there is no card, or it has too little memory.
        """
        require_card()
        self._cuda: Any = importlib.import_module("numba.cuda")
        self._kernels: Any = importlib.import_module("kalshi_train.evaluation.card_kernels")
        gate.check_playable(tape)
        require_room({"the tape takes": tape_bytes(tape)}, self._cuda, ADVICE)
        self.tape = tape
        self._arrays = tape_on_card(tape, self._cuda)

    def play(
        self,
        rules: Sequence[SimConfig],
        policy: Policy,
        use: Callable[[int, Played], T],
        *,
        seed: int = 0,
        views: Sequence[int] | None = None,
    ) -> list[list[T]]:
        """Play views once under each of some settings, all at the same time.

        Args:
            rules: settings for whole episodes, of the policy's action table and history, that
                all keep their fills or all do not.
            policy: a compiled one.
            use: called with the place of the settings and an episode, by settings and view.
            seed: of the random baseline.
            views: indices of the views; all if None.

        Returns:
            What `use` returned, by settings and view.

        Raises:
            ConfigError: the card has too little memory.
        """
        chosen = list(range(len(self.tape.views)) if views is None else views)
        n = len(chosen) * len(rules)
        lengths = np.tile([len(self.tape.views[v]) for v in chosen], len(rules))
        first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        room = record_room(self.tape, rules[0])
        fill_room = max(room, FILL_BYTES // (8 * layout.N_RECORD * n)) if room else 0
        deciders = self._deciders(policy, chosen, seed, len(rules), len(rules[0].table))
        width = rules[0].history * N_FEATURES
        agent = layout.N_CORE + 4 * layout.MAX_CONSUMED + (room + fill_room) * layout.N_RECORD
        each = 8 * (agent + 5) + 4 * (width + 1) + 2
        size = n * each + ROW_BYTES * int(first[-1]) + sum(a.nbytes for a in deciders)
        require_room({f"{n:,} episodes take": size}, self._cuda, ADVICE)
        put = self._cuda.to_device
        obs = put(np.zeros((n, width), np.float32))
        done = put(np.zeros(n, np.int8))
        agents = layout.Agents(
            core=put(np.zeros((n, layout.N_CORE), np.int64)),
            consumed=put(np.zeros((n, 2, layout.MAX_CONSUMED, 2), np.int64)),
            records=put(np.zeros((n, room, layout.N_RECORD), np.int64)),
        )
        buffers = layout.Buffers(obs, put(np.zeros(n, np.float32)), put(np.zeros(n, np.int8)), obs)
        settings = [settings_of(r, self.tape) for r in rules]
        many = self._kernels.Rules(*(put(np.stack(part)) for part in zip(*settings, strict=True)))
        episodes = self._kernels.Episodes(
            views=put(np.tile(np.array(chosen, np.int64), len(rules))),
            rules=put(np.repeat(np.arange(len(rules), dtype=np.int64), len(chosen))),
            first=put(first),
            done=done,
        )
        blank = make_track(int(first[-1]), 0, False, width)
        tracks = blank._replace(
            fills=np.zeros((n, fill_room, layout.N_RECORD), np.int64),
            counts=np.zeros((n, 2), np.int64),
        )
        on_card: Any = kernels.Track(*map(put, tracks))
        deciders = kernels.Decider(*map(put, deciders))
        fills = self._play((self._arrays, many, agents, buffers, episodes, deciders, on_card), n)
        kept = ("actions", "equity2", "position", "counts")
        host = blank._replace(**{name: getattr(on_card, name).copy_to_host() for name in kept})
        core: Int64Array = agents.core.copy_to_host()  # type: ignore[attr-defined]  # a card's
        ends = done.copy_to_host()

        def made(i: int) -> Played:
            rows = slice(first[i], first[i + 1])
            track = host._replace(
                actions=host.actions[rows],
                equity2=host.equity2[rows],
                position=host.position[rows],
                counts=host.counts[i],
            )
            rule, view = divmod(i, len(chosen))
            index = chosen[view]
            at = self.tape.views[index]
            return played_of(at, index, rules[rule].table, track, fills[i], core[i], int(ends[i]))

        found = [use(i // len(chosen), made(i)) for i in range(n)]
        return [found[k * len(chosen) : (k + 1) * len(chosen)] for k in range(len(rules))]

    def _play(self, given: tuple[Any, ...], n: int) -> list[Int64Array]:
        """Launch until all episodes are over.

        Returns:
            The fills of each, int64 [fills, N_RECORD].
        """
        episodes, tracks = given[4], given[6]
        none = np.zeros((0, layout.N_RECORD), np.int64)
        parts: list[list[Int64Array]] = [[none] for _ in range(n)]
        begin, going = 1, np.ones(n, np.bool_)
        while going.any():
            kernel = self._kernels.play_kernel[-(-n // BLOCK), BLOCK]
            kernel(*given, begin, ROWS_A_LAUNCH)
            counts = tracks.counts.copy_to_host()[:, 1]
            if tracks.fills.shape[1]:
                made = tracks.fills.copy_to_host()
                for i in np.flatnonzero(going & (counts > 0)):
                    parts[i].append(made[i, : counts[i]].copy())
            going = episodes.done.copy_to_host() == 0
            begin = 0
        return [np.concatenate(p) for p in parts]

    def _deciders(
        self, policy: Policy, views: Sequence[int], seed: int, n_rules: int, n_actions: int
    ) -> kernels.Decider:
        """What chooses the actions of all episodes, as arrays of the host."""
        each = [policy.decider(self.tape.views[v], seed, n_actions) for v in views]
        n = len(views) * n_rules
        return each[0]._replace(
            scratch=np.zeros((n, *each[0].scratch.shape), np.float32),
            script=np.tile(np.concatenate([d.script for d in each]), n_rules),
            valid=np.ones((n, n_actions), np.bool_),
        )
