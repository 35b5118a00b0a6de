"""`python -m kalshi_sim.cli`."""

import sys

from kalshi_sim.cli.commands import main

sys.exit(main())
