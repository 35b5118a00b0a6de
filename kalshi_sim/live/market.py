"""`LiveMarket`: the replay kernel fed as the market happens, so that a policy can be deployed.

Books, marks and features are those of a tape of the same stream, bit for bit; only the traded
part of the flow needs the matching of trades that an import does afterwards, and no feature
uses it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from kalshi_sim.config import SimConfig
from kalshi_sim.errors import DataError
from kalshi_sim.kernels import batch as batch_kernel
from kalshi_sim.kernels import layout
from kalshi_sim.kernels.observation import N_FEATURES
from kalshi_sim.live.follower import MarketFollower
from kalshi_sim.live.history import SeenRows
from kalshi_sim.live.policy import Asker, Policy
from kalshi_sim.live.portfolio import Portfolio, agent_row
from kalshi_sim.market_state import fee_terms, in_unit, state_at
from kalshi_sim.own import OwnFeatures
from kalshi_sim.own_step import with_own
from kalshi_sim.settings import settings_of
from kalshi_sim.tape import MarketSessionView, Tape
from kalshi_sim.tape_build import utc_offset_ms
from kalshi_sim.tape_rows import best_of
from kalshi_sim.units import stored_per_money

Float32Array = npt.NDArray[np.float32]


class LiveMarket(MarketFollower):
    """One market, followed event by event, and what a policy sees and does at its last row.

    A row closes at the first event of a later interval, at `advance(now_ms)`, or at `finish()`.
    `ts_ms`, `px`, `qty`, `mark2`, `features` and `flow` are the rows so far, as in `Tape`.
    """

    @cached_property
    def _asker(self) -> Asker:
        return Asker()

    @cached_property
    def _seen(self) -> SeenRows:
        return SeenRows()

    def __repr__(self) -> str:
        n = len(self)
        yes, no = best_of(self._rows)[-1].tolist() if n else (0, 0)
        best = f", best YES {yes} NO {no}" if n else ""
        return f"LiveMarket({self.market.ticker}: {n:,} rows{best})"

    def observation(
        self,
        portfolio: Portfolio,
        config: SimConfig | None = None,
        features: OwnFeatures | None = None,
    ) -> Float32Array:
        """The observation of the last row with this portfolio, as training saw it.

        Args:
            portfolio: what the agent holds and has open.
            config: settings of the simulation; the defaults if omitted.
            features: own features that follow the 52; of the agent they see what a portfolio has.

        Returns:
            float32 [history * (52 + own features)] the observation, as `SeenRows.stacked` says.

        Raises:
            DataError: no row has closed yet.
            ConfigError: an amount is finer than the tape's money unit.
        """
        used = config or SimConfig()

        def frame(row: int) -> Float32Array:
            tape, settings = self._at(row, used)
            agent = agent_row(portfolio, settings, tape)
            obs = np.empty(N_FEATURES, np.float32)
            batch_kernel.observe_agent(tape.arrays, settings, agent, obs)
            return (
                obs
                if features is None
                else with_own(features, tape.arrays, self.payout, agent, obs)
            )

        return self._seen.stacked((used, features), len(self), used.history, frame)

    def action_mask(
        self, portfolio: Portfolio, config: SimConfig | None = None
    ) -> npt.NDArray[np.bool_]:
        """Which actions are valid at the last row with this portfolio: bool [n_actions].

        Args:
            portfolio: what the agent holds and has open.
            config: settings of the simulation; the defaults if omitted.

        Returns:
            bool [n_actions], True where the action is valid.

        Raises:
            DataError: no row has closed yet.
            ConfigError: an amount is finer than the tape's money unit.
        """
        tape, settings = self._at(len(self) - 1, config or SimConfig())
        agents = layout.Agents(
            core=agent_row(portfolio, settings, tape)[None],
            consumed=np.zeros((1, 2, layout.MAX_CONSUMED, 2), np.int64),
            records=np.zeros((1, 0, layout.N_RECORD), np.int64),
        )
        masks = np.zeros((1, len(settings.actions)), np.bool_)
        batch_kernel.mask_actions(tape.arrays, settings, agents, masks)
        mask: npt.NDArray[np.bool_] = masks[0]
        return mask

    def act(
        self,
        policy: Policy,
        portfolio: Portfolio,
        config: SimConfig | None = None,
        *,
        deterministic: bool = True,
        features: OwnFeatures | None = None,
    ) -> int:
        """The action a policy takes on the live book with this portfolio.

        One that takes `action_masks` is given them; one with a memory goes on from its last row.

        Args:
            policy: a model or a function of an observation.
            portfolio: what the agent holds and has open.
            config: settings of the simulation; the defaults if omitted.
            deterministic: take the most likely action instead of drawing one.
            features: own features that the policy sees after the 52.

        Returns:
            The action, a row of the configuration's action table.

        Raises:
            ConfigError: the policy was trained with another action table or history.
        """
        if hasattr(policy, "action_space"):
            from kalshi_sim.spaces import check_spaces_of  # gymnasium is there if such a model is

            check_spaces_of(type(policy).__name__, policy, config or SimConfig(), features)
        seen = self.observation(portfolio, config, features)
        mask = self.action_mask(portfolio, config)
        return self._asker.action(policy, seen, mask, len(self), deterministic=deterministic)

    def _at(self, row: int, config: SimConfig) -> tuple[Tape, layout.Settings]:
        """A row as a tape of one view, and the settings on it, for the kernels."""
        if not len(self):
            raise DataError(f"{self.market.ticker}: no row has closed yet; feed a snapshot first")
        per_money = stored_per_money(self.payout)
        first = self._first_book_ms or 0
        state = state_at(self.market, self._terms, int(self.ts_ms[row]))
        terms = fee_terms(self.market, first, int(self.ts_ms[0]), self._schedule)
        view = MarketSessionView(
            session_id=0,
            market_ticker=self.market.ticker,
            start=0,
            stop=1,
            taker_multiplier=state.taker_multiplier,
            maker_multiplier=state.maker_multiplier,
            fee_unit=terms.fee_unit // per_money,
            tick_bands=in_unit(state.tick_bands, per_money),
            paused=state.paused,
            utc_offset_ms=utc_offset_ms(first),
            first_book_ms=first,
        )
        tape = self._row_tape(row, view, self.payout, self.row_interval_ms)
        return tape, settings_of(config, tape)
