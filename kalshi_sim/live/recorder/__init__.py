"""`kalshi-sim record`: lossless recordings of the live exchange."""
