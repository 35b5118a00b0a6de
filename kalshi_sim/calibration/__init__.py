"""Latency, trade share and queue power from one's own orders, with errors."""
