"""The command line: `kalshi-train` and `kalshi-evaluate`."""

from __future__ import annotations

from kalshi_train.cli.train import evaluate_main, train_main

__all__ = ["evaluate_main", "train_main"]
