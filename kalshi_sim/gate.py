"""The gate between Python and the kernels: compiled code checks no bounds, so all is checked here.

Whatever a caller gives (actions, counts, seeds, views, arrays, saved states) passes one of these
functions before a kernel sees it; behind them nothing can be read or written out of bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from kalshi_sim.errors import ConfigError, DataError
from kalshi_sim.kernels import layout
from kalshi_sim.session import EventKind, Events, Session
from kalshi_sim.units import PRICE_SCALE
from kalshi_sim.validated import Within, check_value

if TYPE_CHECKING:
    from kalshi_sim.cuda.simulator import CudaSimulator
    from kalshi_sim.simulator import BatchSimulator
    from kalshi_sim.tape import Tape

Int64Array = npt.NDArray[np.int64]

MAX_ENVS: Final = 1 << 22
MAX_THREADS: Final = 1024
MAX_SEED: Final = 2**63 - 1
MAX_MONEY: Final = 2**60
"""Largest amount of a saved state: twice of it, and differences, stay within int64."""
MAX_CENTS: Final = 2**53
"""Largest amount of a portfolio, in cents."""
MAX_TIME_MS: Final = 253_402_300_799_000
"""The last second of the year 9999, as far as calendars go."""
_BYTES: Final = dict.fromkeys(("kind", "side", "flags"), np.int8)
"""Columns of `Events` that are not int64."""


def check_int(
    name: str, value: object, low: int, high: int, error: type[Exception] = ConfigError
) -> int:
    """The value as an int, if it is a whole number (no bool) from `low` to `high`.

    Args:
        name: of the value, for the message.
        value: what was given.
        low, high: least and greatest allowed value.
        error: the exception to raise.

    Raises:
        ConfigError: it is not (or `error`).
    """
    try:
        check_value(name, value, int, Within(low, high))
    except ConfigError as wrong:
        raise error(str(wrong)) from None
    return int(value)  # type: ignore[call-overload, no-any-return]  # it was found to be whole


def check_seed(value: object) -> int:
    """A seed, as an int.

    Raises:
        ConfigError: it is no whole number from 0 to 2**63 - 1.
    """
    return check_int("seed", value, 0, MAX_SEED)


def check_actions(actions: npt.ArrayLike, out: Int64Array, n_actions: int) -> None:
    """Copy actions into an int64 buffer, if they are whole numbers of the action table.

    Args:
        actions: [n_envs] numbers of any integer or float dtype.
        out: int64 [n_envs], overwritten.
        n_actions: number of actions; allowed are 0 to n_actions - 1.

    Raises:
        ValueError: another shape, another type (bool and text included), a fraction, NaN, or
            outside the range; `out` is then undefined.
    """
    given = np.asarray(actions)
    if given.shape != out.shape:
        raise ValueError(f"actions have shape {given.shape}, expected {out.shape}")
    kind = given.dtype.kind
    if kind in "iu":
        np.copyto(out, given, casting="unsafe")
    elif kind == "f":
        with np.errstate(invalid="ignore"):
            np.copyto(out, given, casting="unsafe")
        if not np.array_equal(out, given):
            raise ValueError(_wrong_actions(n_actions, "some are not whole"))
    else:
        raise ValueError(_wrong_actions(n_actions, f"these are of type {given.dtype}"))
    listed = given is not actions and isinstance(actions, (list, tuple))
    if listed and any(isinstance(a, (bool, np.bool_)) for a in cast("list[Any]", actions)):
        raise ValueError(_wrong_actions(n_actions, "some are True or False"))
    # the places of the extremes: numpy finds them in a sixth of the time that the extremes take
    if out.item(out.argmin()) < 0 or out.item(out.argmax()) >= n_actions:
        outside = out[(out < 0) | (out >= n_actions)][0]
        raise ValueError(_wrong_actions(n_actions, f"there is {outside}"))


def _wrong_actions(n_actions: int, what: str) -> str:
    return f"actions must be whole numbers from 0 to {n_actions - 1}; {what}"


def check_indices(what: str, values: npt.ArrayLike, below: int) -> Int64Array:
    """The indices as int64 [n], a copy, if there is at least one and all lie in [0, below).

    Args:
        what: name of the list, for the message.
        values: [n] whole numbers.
        below: one more than the greatest allowed index.

    Raises:
        ConfigError: they are not.
    """
    given = np.asarray(values)
    if given.ndim != 1 or not len(given):
        raise ConfigError(f"{what} is empty or no list; give indices below {below}")
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= below:
        raise ConfigError(f"{what} must be whole numbers from 0 to {below - 1}")
    return np.array(given, np.int64)


def check_events(events: Events, where: str) -> None:
    """Check that the columns of an event table fit each other and hold what kernels index by.

    Args:
        events: the columns of one or more markets.
        where: named in the message, for instance the market.

    Raises:
        DataError: they do not; `where` says of which market.
        DataError: they do not.
    """
    for name in Events.__dataclass_fields__:
        column, dtype = getattr(events, name), _BYTES.get(name, np.int64)
        if not isinstance(column, np.ndarray) or column.dtype != dtype or column.ndim != 1:
            found = f"{getattr(column, 'dtype', type(column))} {getattr(column, 'shape', '')}"
            raise DataError(
                f"{where}: {name} is {found}, expected {np.dtype(dtype)} [events]; "
                "make event tables with Events.from_columns"
            )
    lengths = {len(getattr(events, name)) for name in Events.__dataclass_fields__}
    if len(lengths) != 1:
        raise DataError(f"{where}: the columns of the events have different lengths")
    kind = events.kind
    priced = (kind == EventKind.LEVEL) | (kind == EventKind.DELTA) | (kind == EventKind.TRADE)
    bad = {
        "kind": (kind < 0) | (kind > max(EventKind)),
        "side": (events.side < 0) | (events.side > 1),
        "price": (events.price < 0)
        | (events.price > PRICE_SCALE)
        | (priced & ((events.price == 0) | (events.price == PRICE_SCALE))),
        "ts_ms": events.ts_ms > MAX_TIME_MS,
    }
    for column, wrong in bad.items():
        if wrong.any():
            at = int(np.argmax(wrong))
            value = int(getattr(events, column)[at])
            raise DataError(f"{where}, event {at}: {column} {value} cannot be right")


def listed_sessions(sessions: Session | Sequence[Session]) -> list[Session]:
    """One session or several, as a list.

    Raises:
        ConfigError: something else stands there; the message says how to come to a session.
    """
    listed: Any = [sessions] if isinstance(sessions, Session) else sessions
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        listed = [listed]  # refused below
    for session in listed:
        if not isinstance(session, Session):
            raise ConfigError(
                f"{session!r} is no session but {type(session).__name__}; load it from a store, as "
                "with open_store('sessions').load(9), or give its id and a store: "
                "load_tape(open_store('sessions'), [9])"
            )
    return list(listed)


def check_session(session: Session) -> None:
    """Check that a session's events are what kernels index by, and lie in its markets.

    Raises:
        DataError: they are not.
    """
    where = f"session {session.session_id}"
    if (np.diff(session.market_offsets) < 0).any():
        raise DataError(f"{where}: market_offsets must not fall")
    check_events(session.events, where)


def check_playable(tape: Tape) -> None:
    """Check that an environment can step on every view of a tape.

    Raises:
        ConfigError: there is no view, or one has a single row.
    """
    if not tape.views:
        raise ConfigError("the tape has no views; select at least one")
    for view in tape.views:
        if len(view) < 2:
            raise ConfigError(f"view {view.market_ticker!r} has {len(view)} row; a step needs two")


_RANGES: Final = {
    layout.A_CASH: (0, MAX_MONEY),
    layout.A_COST: (0, MAX_MONEY),
    layout.A_FEES: (0, MAX_MONEY),
    layout.A_STEPS: (0, 2**62),
    layout.A_INVALID: (0, 2**62),
    layout.A_FILLS: (0, 2**62),
    layout.A_CONTRACTS: (0, 2**62),
    layout.A_AHEAD: (0, layout.BEYOND_DEPTH),
    layout.A_AHEAD_NO: (0, layout.BEYOND_DEPTH),
    layout.A_MAKER: (0, 2**31),
    layout.A_MAKER_NO: (0, 2**31),
    layout.A_CONSUMED: (0, layout.MAX_CONSUMED),
    layout.A_CONSUMED_NO: (0, layout.MAX_CONSUMED),
}
"""Ranges of columns of `Agents.core` that depend on nothing else; others: within MAX_MONEY."""


def check_agents(
    simulator: BatchSimulator | CudaSimulator, state: Mapping[str, Any]
) -> tuple[Int64Array, Int64Array, npt.NDArray[np.float32]]:
    """Check that a batch can go on from the agents of a saved state.

    Args:
        simulator: the batch; it is not changed.
        state: what `BatchSimulator.state_dict` gave.

    Returns:
        core int64 [n_envs, N_CORE], consumed int64 [n_envs, 2, MAX_CONSUMED, 2] and observations
        float32 [n_envs, 52], of the dtypes of the batch.

    Raises:
        ConfigError: one is missing, has another shape or type, or holds what cannot be.
    """
    agents, tape = simulator.agents, simulator.tape
    core = _state_array(state, "core", agents.core)
    consumed = _state_array(state, "taken", agents.consumed)
    observations = _state_array(state, "observations", simulator.observations)
    views = core[:, layout.A_VIEW]
    if views.min() < 0 or views.max() >= len(tape.views):
        raise _foreign(f"it plays a view that this tape of {len(tape.views)} views lacks")
    table = tape.arrays.views[views]
    rows = core[:, layout.A_ROW]
    inside = (rows >= table[:, layout.V_START]) & (rows < table[:, layout.V_STOP])
    if not inside.all() or (core[:, layout.A_START] != table[:, layout.V_START]).any():
        raise _foreign("it stands on rows outside its views")
    config, payout = simulator.config, tape.payout
    limits = dict(_RANGES)
    most = 2 * config.max_position
    limits |= dict.fromkeys((layout.A_SIZE, layout.A_SIZE_NO), (0, most))
    limits[layout.A_POSITION] = (-most, most)
    prices = (layout.A_PRICE, layout.A_PRICE_NO, layout.A_PENDING_PRICE)
    limits |= dict.fromkeys(prices, (0, payout))
    limits[layout.A_PENDING] = (0, simulator.n_actions - 1)
    limits[layout.A_N_RECORDS] = (0, agents.records.shape[1])
    free = {layout.A_VIEW, layout.A_ROW, layout.A_START}
    for column in range(layout.N_CORE):
        if column in free:
            continue
        low, high = limits.get(column, (-MAX_MONEY, MAX_MONEY))
        values = core[:, column]
        if values.min() < low or values.max() > high:
            raise _foreign(f"column {column} of its agents is outside {low} to {high}")
    known = (
        np.arange(layout.MAX_CONSUMED) < core[:, (layout.A_CONSUMED, layout.A_CONSUMED_NO), None]
    )
    levels = consumed[known]
    if len(levels) and (levels.min() < 0 or levels[:, 0].max() > payout):
        raise _foreign("it has consumed contracts at prices that cannot be")
    if not np.isfinite(observations).all():
        raise _foreign("its observations are not finite")
    return core, consumed, observations


def _state_array(state: Mapping[str, Any], name: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = state.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != like.dtype or array.ndim != like.ndim:
        raise _foreign(f"{name} is missing or of another type")
    if len(array) != len(like):
        raise ConfigError(
            f"the saved state has {len(array)} environments, this batch {len(like)}; "
            "resume with the same n_envs"
        )
    if array.shape != like.shape:
        raise _foreign(f"{name} has shape {array.shape}, expected {like.shape}")
    return array


def check_waiting(waiting: object, n_envs: int) -> npt.NDArray[np.bool_] | None:
    """Which environments of a saved state wait for a reset, bool [n_envs]; None if it is silent.

    Args:
        waiting: of any integer or bool dtype [n_envs]; None if the state does not hold it.
        n_envs: number of environments.

    Raises:
        ConfigError: it is something else.
    """
    if waiting is None:
        return None
    given = np.asarray(waiting)
    if given.shape != (n_envs,) or given.dtype.kind not in "biu":
        raise _foreign(f"waiting is {given.dtype} of shape {given.shape}")
    over: npt.NDArray[np.bool_] = given != 0
    return over


def _foreign(what: str) -> ConfigError:
    return ConfigError(
        f"the saved state cannot be of this tape and these settings: {what}; "
        "restore it on the tape it was saved from"
    )


def check_mapping(state: object, keys: Sequence[str]) -> Mapping[str, Any]:
    """A saved state that has all of `keys`.

    Args:
        state: what was given as a saved state.
        keys: names it must have.

    Raises:
        ConfigError: it is no mapping, or lacks one.
    """
    if not isinstance(state, Mapping):
        raise _foreign(f"it is a {type(state).__name__}")
    missing = [key for key in keys if key not in state]
    if missing:
        raise _foreign(f"{', '.join(missing)} is missing")
    return state


def chosen_view(options: Mapping[str, Any] | None) -> int | None:
    """The view that an environment's reset options choose, None if they choose none.

    Raises:
        ConfigError: there is another option.
    """
    unknown = sorted(set(options or ()) - {"view"})
    if unknown:
        raise ConfigError(f"unknown option of reset: {', '.join(map(repr, unknown))}; use 'view'")
    return None if options is None else options.get("view")
