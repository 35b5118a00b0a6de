"""What an import says where nothing decides the order of files."""

from __future__ import annotations

from collections.abc import Sequence

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.merging.pieces import Piece
from kalshi_sim.ingest.merging.view import Frames


def names(frames: Frames, pieces: Sequence[Piece]) -> str:
    """The names of the files of pieces.

    Args:
        frames: all frames of the import.
        pieces: of any files.
    """
    return names_of(frames, {file for piece in pieces for file in piece.files})


def names_of(frames: Frames, files: set[int]) -> str:
    """The names of files, as in a sentence.

    Args:
        frames: all frames of the import.
        files: their numbers, two at least.
    """
    found = sorted({frames.files[file] for file in files})
    return ", ".join(found[:-1]) + f" and {found[-1]}"


def refused(pieces: Sequence[Piece], why: str) -> DataError:
    """What to say of files whose order nothing decides.

    Args:
        pieces: of one market in these files.
        why: the beginning of the sentence, up to "their frames".
    """
    frames = pieces[0].frames
    ticker = frames.tickers[int(frames.batch.market[pieces[0].rows[0]])]
    return DataError(
        f"{names(frames, pieces)}: {why} their frames of {ticker}; import them as sessions of "
        "their own, or join them in order of arrival to one file"
    )
