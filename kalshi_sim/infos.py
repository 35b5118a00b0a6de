"""The infos of a step: as many dictionaries as environments, each made when it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex


class Infos(list[dict[str, Any]]):
    """A list of dictionaries, empty but for the environments that finished.

    Making one for each of thousands of environments would take longer than the step; sharing
    them would carry what a caller writes into one over to the next step. It is made of a list
    with None in the place of each empty dictionary.
    """

    def __getitem__(self, index: Any) -> Any:
        """The dictionary of an environment, or a list of those of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        info = super().__getitem__(index)
        if info is None:
            info = {}
            self[index] = info
        return info

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each environment's dictionary."""
        for i in range(len(self)):
            yield self[i]

    def __eq__(self, other: object) -> bool:
        """Equal to any list of equal dictionaries."""
        return list(self) == (list(other) if isinstance(other, Infos) else other)

    __hash__ = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickled and copied as a plain list."""
        return list, (list(self),)

    def copy(self) -> list[dict[str, Any]]:
        """A plain list of the dictionaries."""
        return list(self)
