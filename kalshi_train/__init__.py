"""Training and evaluation of agents on recorded Kalshi order books."""
