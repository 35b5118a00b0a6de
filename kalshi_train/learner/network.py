"""Actor and critic as flat parameters, evaluated and differentiated by hand, in threads.

The arithmetic is that of stable-baselines3's `MlpPolicy`. Its parameters become views into one
flat tensor, and so do their gradients: clipping and the optimiser's step are then each a single
pass. Rows are cut into lanes, one per thread; what a lane computes does not depend on which
thread runs it, and the lanes' gradients are added in their order, so results repeat bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from kalshi_train.learner import activations, losses
from kalshi_train.learner.group import ALONE, Group
from kalshi_train.learner.lane import CHUNK, Lane, Layer, LayerGradient
from kalshi_train.learner.products import Shape, quicker_with_onednn

# Fewer rows than this per lane, and waking a thread costs more than it saves.
MIN_LANE = 256

_ACTIVATIONS: dict[type[nn.Module], tuple[Any, Any]] = {
    nn.Tanh: (activations.bias_tanh, activations.tanh_backward),
    nn.ReLU: (activations.bias_relu, activations.relu_backward),
}


def unsupported(policy: ActorCriticPolicy) -> str | None:
    """Why an `MlpPolicy` of float32 cannot be evaluated here, or None if it can."""
    if policy.activation_fn not in _ACTIVATIONS:
        return f"the activation is {policy.activation_fn.__name__}, neither Tanh nor ReLU"
    if not all(
        p.requires_grad and p.dtype == th.float32 and p.device.type == "cpu"
        for p in policy.parameters()
    ):
        return "not all parameters are trainable float32 in main memory"
    return None


def flat_views(flat: th.Tensor, shapes: list[th.Size]) -> list[th.Tensor]:
    """Views of a flat tensor.

    Args:
        flat: as long as the shapes together.
        shapes: of the views, in order.

    Returns:
        One view of each shape.
    """
    pieces = flat.split([shape.numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _linears(policy: ActorCriticPolicy) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """The linear layers of actor and critic, head last."""
    extractor = policy.mlp_extractor
    actor = [m for m in extractor.policy_net if isinstance(m, nn.Linear)]
    critic = [m for m in extractor.value_net if isinstance(m, nn.Linear)]
    head = policy.action_net
    assert isinstance(head, nn.Linear)
    return [*actor, head], [*critic, policy.value_net]


class ActorCritic:
    """The two networks of an `MlpPolicy`, sharing its parameters.

    `flat` holds all parameters, `gradient` their gradient after `reduce`. `nets` are the layers of
    actor and critic, heads last.
    """

    def __init__(self, policy: ActorCriticPolicy, by_onednn: Sequence[Shape] | None = None) -> None:
        """Take a policy's parameters over.

        Args:
            policy: an `MlpPolicy`.
            by_onednn: shapes of the weights that oneDNN multiplies; None: as is quicker here.
        """
        self.policy = policy
        linears = _linears(policy)
        self._parameters = [p for net in linears for m in net for p in (m.weight, m.bias)]
        self._depth = len(linears[0])
        self.shapes = [p.shape for p in self._parameters]
        self.flat = th.empty(sum(shape.numel() for shape in self.shapes))
        self.gradient = th.zeros_like(self.flat)
        self._views = flat_views(self.flat, self.shapes)
        self.n_features = self.shapes[0][1]
        self.activate, self.differentiate = _ACTIVATIONS[policy.activation_fn]
        with th.no_grad():
            self.adopt()
        if by_onednn is None:
            weights = [(w.shape[0], w.shape[1]) for w in self._views[::2]]
            by_onednn = quicker_with_onednn([s for a, b in weights for s in ((a, b), (b, a))])
        self.by_onednn: list[Shape] = [(a, b) for a, b in by_onednn]
        """Shapes of the weights that oneDNN multiplies."""
        self.nets = self._layers()
        self.lanes: list[Lane] = [Lane(self)]
        self.group: Group = ALONE
        """The learners whose gradients are added up."""
        self._pool: ThreadPoolExecutor | None = None

    def adopt(self) -> None:
        """Make the policy's parameters views into `flat` again, if something replaced them."""
        gradients = flat_views(self.gradient, self.shapes)
        for p, view, gradient in zip(self._parameters, self._views, gradients, strict=True):
            if p.data_ptr() != view.data_ptr():
                view.copy_(p.data)
                p.data = view
            if p.grad is None or p.grad.data_ptr() != gradient.data_ptr():
                p.grad = gradient

    @property
    def parameters(self) -> list[th.Tensor]:
        """The policy's parameters in the order of `flat`."""
        return self._parameters

    def _layers(self) -> tuple[list[Layer], list[Layer]]:
        layers = [
            Layer(
                w,
                w.t(),
                b.numpy(),
                onednn=tuple(w.shape) in self.by_onednn,
                onednn_back=tuple(w.t().shape) in self.by_onednn,
            )
            for w, b in zip(self._views[::2], self._views[1::2], strict=True)
        ]
        return layers[: self._depth], layers[self._depth :]

    def split(self, flat: th.Tensor) -> tuple[list[LayerGradient], list[LayerGradient]]:
        """Views of a gradient, by network and layer.

        Returns:
            The actor's layers and the critic's.
        """
        views = flat_views(flat, self.shapes)
        layers = [LayerGradient(w, b.numpy()) for w, b in zip(views[::2], views[1::2], strict=True)]
        return layers[: self._depth], layers[self._depth :]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Use as many lanes as torch has threads, torch itself one per lane; put back after."""
        n_threads = th.get_num_threads()
        n_lanes = n_threads
        self.lanes.extend(Lane(self) for _ in range(n_lanes - len(self.lanes)))
        del self.lanes[n_lanes:]
        th.set_num_threads(1)
        try:
            if n_lanes == 1:
                yield
                return
            # Torch keeps the number of threads per thread.
            with ThreadPoolExecutor(
                n_lanes - 1, "learner", initializer=th.set_num_threads, initargs=(1,)
            ) as self._pool:
                yield
        finally:
            self._pool = None
            th.set_num_threads(n_threads)

    def run(self, n_rows: int, work: Callable[[Lane, int, int], None]) -> int:
        """Work on rows in several lanes at a time.

        Args:
            n_rows: how many rows.
            work: called with (lane, start, stop) for each lane's share.

        Returns:
            How many lanes were used.
        """
        n_lanes = max(1, min(len(self.lanes), n_rows // MIN_LANE))
        cuts = [n_rows * i // n_lanes for i in range(n_lanes + 1)]
        shares = list(zip(self.lanes, cuts[:-1], cuts[1:], strict=False))
        if self._pool is None or n_lanes == 1:
            for share in shares:
                work(*share)
            return n_lanes
        others = [self._pool.submit(work, *share) for share in shares[1:]]
        try:
            work(*shares[0])
        finally:
            for other in others:
                other.result()
        return n_lanes

    def reduce(self, n_lanes: int) -> losses.F64:
        """Sum the gradients of all lanes of all learners into `gradient`.

        Args:
            n_lanes: lanes of this learner that have worked.

        Returns:
            The sums for the log, of this learner alone.
        """
        self.gradient.copy_(self.lanes[0].gradient)
        stats = self.lanes[0].stats.copy()
        for lane in self.lanes[1:n_lanes]:
            self.gradient.add_(lane.gradient)
            stats += lane.stats
        self.group.add_(self.gradient)
        return stats

    def act(
        self,
        observations: th.Tensor,
        actions: losses.I64,
        values: losses.F32,
        log_probs: losses.F32,
        masks: losses.Mask | None = None,
    ) -> None:
        """Sample an action for every row from torch's generator.

        Args:
            observations: float32 [n, features].
            actions: int64 [n], overwritten.
            values: float32 [n], overwritten.
            log_probs: float32 [n], overwritten.
            masks: bool [n, actions] which actions are valid; None: all.
        """
        uniform = th.rand(observations.shape[0], dtype=th.float64).numpy()
        actor, critic = self.nets[0][-1], self.nets[1][-1]

        def work(lane: Lane, start: int, stop: int) -> None:
            for at in range(start, stop, CHUNK):
                end = min(at + CHUNK, stop)
                done = lane.forward(observations[at:end])
                if masks is not None:
                    losses.mask_logits(done.logits, masks[at:end])
                losses.sample(
                    done.logits,
                    actor.bias,
                    done.value,
                    critic.bias,
                    uniform[at:end],
                    actions[at:end],
                    log_probs[at:end],
                    values[at:end],
                )

        self.run(observations.shape[0], work)

    def values(self, observations: th.Tensor) -> th.Tensor:
        """The critic's values [n] of observations [n, features], in one pass."""
        h = observations
        layers = self.nets[1]
        for layer in layers[:-1]:
            h = th.mm(h, layer.transposed)
            self.activate(h.numpy(), layer.bias)
        return th.mm(h, layers[-1].transposed)[:, 0] + float(layers[-1].bias[0])
