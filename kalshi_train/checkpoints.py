"""The place where `read_checkpoint` once lived; it is in `kalshi_train.training.checkpoints`."""

from __future__ import annotations

from kalshi_train.training.checkpoints import check_model, find_checkpoint, read_checkpoint

__all__ = ["check_model", "find_checkpoint", "read_checkpoint"]
