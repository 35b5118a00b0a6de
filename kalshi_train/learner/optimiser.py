"""The optimiser's step as one pass over all parameters.

Adam and RMSprop, as stable-baselines3 sets them up, run on flat arrays. Their state stays where
torch looks for it: every parameter's entry is a view, so models are saved and loaded as usual.
Any other optimiser steps by its own method.
"""

from __future__ import annotations

from typing import Any

import torch as th

from kalshi_train.learner import updates
from kalshi_train.learner.network import ActorCritic, flat_views

_PLAIN: dict[type[th.optim.Optimizer], tuple[tuple[str, ...], dict[str, Any]]] = {
    th.optim.Adam: (
        ("exp_avg", "exp_avg_sq"),
        {"weight_decay": 0, "amsgrad": False, "maximize": False},
    ),
    th.optim.RMSprop: (
        ("square_avg",),
        {"weight_decay": 0, "momentum": 0, "centered": False, "maximize": False},
    ),
}


class FlatOptimiser:
    """Clips the gradient of `network` by its norm and applies `optimiser` to its parameters."""

    def __init__(self, network: ActorCritic, optimiser: th.optim.Optimizer) -> None:
        """Use an own kernel where the optimiser is one that has one, else the optimiser itself.

        Args:
            network: its flat parameters are changed.
            optimiser: of torch, over the same parameters.
        """
        self.network = network
        self.optimiser = optimiser
        self._names: tuple[str, ...] = ()
        if type(optimiser) in _PLAIN and len(optimiser.param_groups) == 1:
            names, plain = _PLAIN[type(optimiser)]
            group = optimiser.param_groups[0]
            if all(group.get(key, value) == value for key, value in plain.items()):
                self._names = names
        self._state = [th.zeros_like(network.flat) for _ in self._names]
        self._steps = th.zeros(len(network.parameters))

    def adopt(self) -> None:
        """Make the optimiser's state views into flat tensors, if something replaced it."""
        shapes = self.network.shapes
        columns = [flat_views(state, shapes) for state in self._state]
        if not columns:
            return
        for i, (p, views) in enumerate(
            zip(self.network.parameters, zip(*columns, strict=True), strict=True)
        ):
            state = self.optimiser.state[p]
            named = dict(zip(self._names, views, strict=True))
            named["step"] = self._steps[i]
            for name, view in named.items():
                old = state.get(name)
                if isinstance(old, th.Tensor) and old.data_ptr() == view.data_ptr():
                    continue
                view.copy_(th.as_tensor(0.0 if old is None else old))
                state[name] = view

    def step(self, max_norm: float) -> None:
        """Clip to `max_norm` as `clip_grad_norm_` does, then one step of the optimiser."""
        gradient = self.network.gradient
        norm = float(th.linalg.vector_norm(gradient))
        shrink = min(max_norm / (norm + 1e-6), 1.0)
        if not self._names:
            gradient.mul_(shrink)
            self.optimiser.step()
            return
        group = self.optimiser.param_groups[0]
        self._steps += 1
        flat, g = self.network.flat.numpy(), gradient.numpy()
        state = [s.numpy() for s in self._state]
        lr, eps = float(group["lr"]), float(group["eps"])
        if len(state) == 1:
            updates.rmsprop(flat, g, state[0], shrink, lr, float(group["alpha"]), eps)
        else:
            beta1, beta2 = group["betas"]
            step = float(self._steps[0])
            updates.adam(flat, g, state[0], state[1], shrink, step, lr, beta1, beta2, eps)
