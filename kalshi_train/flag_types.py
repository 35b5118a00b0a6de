"""Types of settings that the command line reads as one word."""

from __future__ import annotations

from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from kalshi_sim.cli.session_ids import SessionIds

__all__ = ["LayerSizes", "SessionIds"]


def _whole_numbers(words: list[str]) -> tuple[int, ...]:
    return tuple(int(word) for word in words[0].split(",") if word.strip())


def _comma_separated(metavar: str) -> PrimitiveConstructorSpec[tuple[int, ...]]:
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=_whole_numbers,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value)) or "none"],
    )


LayerSizes = Annotated[tuple[int, ...], _comma_separated("N,N,...")]
