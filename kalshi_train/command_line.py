"""The former place of `kalshi_train.cli`."""

from __future__ import annotations

from kalshi_train.cli import evaluate_main, train_main

__all__ = ["evaluate_main", "train_main"]
