"""Learners that train one model together: what they add up, and what they say to each other.

Each learner is a process with environments of its own. Parameters are the same in all of them at
every moment, since each applies the same sum of gradients: a learner is to a group what a lane is
to a network. Gloo, torch's library for processors, carries the messages; its sums are the same bits
in every process, and for a given number of learners in every run.
"""

from __future__ import annotations

import pickle
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch as th

from kalshi_sim.errors import KalshiSimError

F64 = npt.NDArray[np.float64]
T = TypeVar("T")

PATIENCE: Final = timedelta(days=1)
"""How long a learner waits for the others: they wait for a held-out evaluation, however long. One
that dies closes its connections, which the others notice at once."""
_HERE: Final = "127.0.0.1"
_MEETING: Final = timedelta(minutes=2)
"""How long learners that are ready wait for each other to connect."""


class LostLearnerError(KalshiSimError, RuntimeError):
    """A learner is gone, so that the others cannot go on."""


class Group:
    """The learners of one model, as one of them sees it; a group of one has nothing to do."""

    def __init__(self, rank: int = 0, size: int = 1, process_group: Any = None) -> None:
        """See the others.

        Args:
            rank: number of this learner, from 0.
            size: how many there are.
            process_group: of torch's distributed package, by which they are joined.
        """
        self.rank = rank
        self.size = size
        self._joined = process_group

    @staticmethod
    def meet(place: Path | Any, rank: int, size: int) -> Group:
        """Join the other learners of this machine.

        Args:
            place: a file by which they find each other, which does not exist before; or a store of
                torch's distributed package.
            rank: number of this learner.
            size: how many there are.

        Returns:
            The group, once all are there.

        Raises:
            LostLearnerError: one does not come.
        """
        dist = _distributed()
        store = dist.FileStore(str(place), size) if isinstance(place, Path) else place
        options = dist.ProcessGroupGloo._Options()
        options._timeout = _MEETING
        options._devices = [dist.ProcessGroupGloo.create_device(hostname=_HERE)]
        options._threads = 1
        try:
            joined = dist.ProcessGroupGloo(store, rank, size, options)
        except RuntimeError as error:
            raise LostLearnerError(f"the learners did not meet: {_said(error)}") from error
        return Group(rank, size, joined)

    def add_(self, tensor: th.Tensor) -> None:
        """Replace a tensor by its sum over all learners.

        Args:
            tensor: contiguous, of the same shape in each; changed.

        Raises:
            LostLearnerError: one of them is gone.
        """
        if self.size > 1:
            options = _distributed().AllreduceOptions()
            options.timeout = PATIENCE
            self._wait(lambda: self._joined.allreduce([tensor], options))

    def copy_first_(self, tensor: th.Tensor) -> None:
        """Replace a tensor by that of learner 0.

        Args:
            tensor: contiguous, of the same shape in each; changed.

        Raises:
            LostLearnerError: one of them is gone.
        """
        if self.size > 1:
            options = _distributed().BroadcastOptions()
            options.timeout = PATIENCE
            options.rootRank = 0
            options.rootTensor = 0
            self._wait(lambda: self._joined.broadcast([tensor], options))

    def rows_of_all(self, row: F64) -> F64:
        """An array of each learner.

        Args:
            row: float64, of the same shape in each.

        Returns:
            float64 [learners, *shape], by their numbers.

        Raises:
            LostLearnerError: one of them is gone.
        """
        if self.size == 1:
            return row[None]
        rows = self._all(th.from_numpy(np.ascontiguousarray(row, np.float64)))
        return np.stack([part.numpy() for part in rows])

    def exchange(self, value: T) -> list[T]:
        """What each learner says.

        Args:
            value: what this one says; anything that can be pickled.

        Returns:
            The values of all, by their numbers.

        Raises:
            LostLearnerError: one of them is gone.
        """
        if self.size == 1:
            return [value]
        said = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        lengths = [int(n) for n in self._all(th.tensor([len(said)]))]
        padded = th.zeros(max(lengths), dtype=th.uint8)
        padded[: len(said)] = th.frombuffer(bytearray(said), dtype=th.uint8)
        parts = zip(self._all(padded), lengths, strict=True)
        return [pickle.loads(part.numpy()[:n].tobytes()) for part, n in parts]

    def _all(self, tensor: th.Tensor) -> list[th.Tensor]:
        found = [th.empty_like(tensor) for _ in range(self.size)]
        options = _distributed().distributed_c10d.AllgatherOptions()
        options.timeout = PATIENCE
        self._wait(lambda: self._joined.allgather([found], [tensor], options))
        return found

    def _wait(self, begin: Any) -> None:
        try:
            begin().wait()
        except RuntimeError as error:
            raise LostLearnerError(f"the learners lost each other: {_said(error)}") from error


def _distributed() -> Any:
    """Torch's distributed package, which a learner that is alone does not load."""
    return import_module("torch.distributed")


def _said(error: RuntimeError) -> str:
    """What the library reports, without its advice and the place in its code."""
    line = (str(error).splitlines() or [""])[0]
    return line.rpartition("] ")[2].partition(". This is typically")[0] if "] " in line else line


ALONE: Final = Group()
"""The group of a model that is trained by one process."""


def mean_and_deviation(group: Group, parts: F64, sizes: npt.NDArray[np.int64]) -> F64:
    """Mean and standard deviation over all learners' parts of minibatches.

    Args:
        group: the learners.
        parts: float64 [minibatches, 2] mean of this learner's part, and its sum of squared
            distances from it.
        sizes: int64 [minibatches] entries of this learner's part, as many as of any other's.

    Returns:
        float64 [minibatches, 2] the mean, and the unbiased standard deviation; 0 of one entry.
    """
    means, squares = np.moveaxis(group.rows_of_all(parts), -1, 0)
    mean = means.sum(axis=0) / group.size
    around = squares.sum(axis=0) + sizes * ((means - mean) ** 2).sum(axis=0)
    return np.stack([mean, np.sqrt(around / np.maximum(sizes * group.size - 1, 1))], axis=-1)
