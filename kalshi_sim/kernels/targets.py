"""What a processor and a graphics card do differently, in one place.

The kernels of a step are written once. Compiled for a processor they run as they stand; called by
a kernel of `kalshi_sim.cuda` the same functions are compiled for the card. What must not differ but
would stands here: `kalshi_sim.cuda.target` gives the card's form of it. Prefetching and threads are
no matter of a step: they stand in `kernels.batch`, which only processors use.
"""

from __future__ import annotations

from numba.extending import overload


def rounded_sum(a: float, b: float) -> float:
    """a + b of two products that were rounded to float64 before.

    A card's compiler would otherwise join the last product and the sum into one operation that
    rounds once.

    Args:
        a, b: float64.

    Returns:
        float64.
    """
    return a + b


overload(rounded_sum)(lambda a, b: lambda a, b: a + b)
