"""Likenesses of recordings: how a market trades, in figures, and generated sessions with them."""
