"""An evaluation as tables, as JSON and as Parquet files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_sim.files import whole_file
from kalshi_sim.kernels import layout
from kalshi_sim.units import money_per_cent
from kalshi_train.evaluation.marks import HORIZONS_S, mark_out2, spread_capture2
from kalshi_train.evaluation.measure import Episode, event_of

if TYPE_CHECKING:
    from kalshi_sim.tape import Tape
    from kalshi_train.evaluation.result import Evaluation, Run

_SIDES = np.array(["yes", "no"])


def make_frames(evaluation: Evaluation) -> dict[str, pa.Table]:
    """The tables of an evaluation by name; money in cents."""
    tape = evaluation.tape
    fills = [_fills(tape, r, e) for r in evaluation.runs for e in r.episodes]
    equity = [_equity(tape, r, e) for r in evaluation.runs for e in r.episodes]
    frames = {
        "totals": pa.Table.from_pylist([{**_key(r), **r.total.columns()} for r in evaluation.runs]),
        "episodes": pa.Table.from_pylist(
            [{**_key(r), **e.figures.columns()} for r in evaluation.runs for e in r.episodes]
        ),
        "fills": pa.concat_tables(fills),
        "equity": pa.concat_tables(equity),
    }
    if evaluation.comparisons:
        frames["comparisons"] = pa.Table.from_pylist([asdict(c) for c in evaluation.comparisons])
    if evaluation.stress:
        frames["stress"] = pa.Table.from_pylist([asdict(s) for s in evaluation.stress])
    return frames


def _key(run: Run) -> dict[str, Any]:
    return {"policy": run.policy.name, "fill_model": run.fill_model}


def _named(run: Run, episode: Episode, rows: int) -> dict[str, Any]:
    view = episode.view
    return {
        "policy": _repeat(run.policy.name, rows),
        "fill_model": _repeat(run.fill_model, rows),
        "session_id": pa.array(np.full(rows, view.session_id, np.int64)),
        "market_ticker": _repeat(view.market_ticker, rows),
        "event": _repeat(event_of(view), rows),
    }


def _repeat(text: str, rows: int) -> pa.Array:
    indices = pa.array(np.zeros(rows, np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text])).cast(pa.string())


def _fills(tape: Tape, run: Run, episode: Episode) -> pa.Table:
    fills, view = episode.fills, episode.view
    cent = money_per_cent(tape.payout)
    row = fills[:, layout.R_ROW]
    tape.will_read([episode.index])
    columns = {
        **_named(run, episode, len(fills)),
        "row": row,
        "ts_ms": tape.ts_ms[view.start + row],
        "side": pa.array(_SIDES[fills[:, layout.R_SIDE]], pa.string()),
        "price_cents": fills[:, layout.R_PRICE] / cent,
        "contracts": fills[:, layout.R_QTY],
        "fee_cents": fills[:, layout.R_FEE] / cent,
        "maker": fills[:, layout.R_MAKER] == 1,
        "spread_capture_cents": spread_capture2(tape, view, fills) / (2 * cent),
    }
    for seconds in HORIZONS_S:
        gained2, known = mark_out2(tape, view, fills, seconds)
        columns[f"markout_{seconds}s_cents"] = pa.array(gained2 / (2 * cent), mask=~known)
    return pa.table(columns)


def _equity(tape: Tape, run: Run, episode: Episode) -> pa.Table:
    rows = episode.curve_rows
    tape.will_read([episode.index])
    return pa.table(
        {
            **_named(run, episode, len(rows)),
            "row": rows,
            "ts_ms": tape.ts_ms[episode.view.start + rows],
            "equity_cents": episode.curve_equity2 / (2 * money_per_cent(tape.payout)),
        }
    )


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """All figures as JSON has them: only `provenance` says when and by which command."""
    tape = evaluation.tape
    policies = []
    for policy in evaluation.policies:
        runs = [r for r in evaluation.runs if r.policy is policy]
        policies.append(
            {
                "name": policy.name,
                "description": policy.description,
                "baseline": policy.name not in evaluation.models,
                "settings": dict(policy.settings),
                "caveats": list(evaluation.caveats_of(policy.name)),
                "fill_models": {
                    r.fill_model: {
                        "total": r.total.to_json(),
                        "markets": [e.figures.to_json() for e in r.episodes],
                    }
                    for r in runs
                },
            }
        )
    return {
        "config": asdict(evaluation.config),
        "row_interval_ms": tape.row_interval_ms,
        "depth": tape.depth,
        "sessions": sorted({v.session_id for v in tape.views}),
        "markets": len(tape.views),
        "events": len({event_of(v) for v in tape.views}),
        "rows": sum(len(v) for v in tape.views),
        "seed": evaluation.seed,
        "confidence": evaluation.confidence,
        "resamples": evaluation.resamples,
        "fill_models": list(evaluation.fill_models),
        "caveats": list(evaluation.caveats),
        "provenance": evaluation.provenance.to_json(),
        "policies": policies,
        "comparisons": [asdict(c) for c in evaluation.comparisons],
        "stress": [asdict(s) for s in evaluation.stress],
        "diagnoses": [d.to_json() for d in evaluation.diagnoses],
        "permutations": [n.to_json() for n in evaluation.nulls],
    }


def write_parquet(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every frame into `folder`, named after it; returns the paths.

    Args:
        evaluation: the result.
        folder: where to; it must exist.

    Raises:
        ConfigError: the folder cannot be written.
    """
    written = []
    for name, table in evaluation.frames.items():
        path = folder / f"{name}.parquet"
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd")
        written.append(path)
    return written
