"""The former place of `kalshi_train.cli`, with what a star import of it gave."""

from __future__ import annotations

import os

from kalshi_train.cli import evaluate_main, train_main

__all__ = ["evaluate_main", "os", "train_main"]
