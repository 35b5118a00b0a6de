"""Trading live markets with trained policies, and the proof that it is the simulation's."""
