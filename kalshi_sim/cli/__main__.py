"""`python -m kalshi_sim.cli`."""

import sys

from kalshi_sim.entry import sim

sys.exit(sim())
