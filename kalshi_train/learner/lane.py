"""One thread's share of a pass over actor and critic: its buffers, its gradient, its sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch as th

from kalshi_train.learner import losses
from kalshi_train.learner.products import linear

if TYPE_CHECKING:
    from kalshi_train.learner.network import ActorCritic

# Rows handled at a time: few enough that their activations stay in the second-level cache.
CHUNK = 1024


class Layer(NamedTuple):
    """One linear layer: weight [out, in], its transpose as a view, bias [out] as an array.

    Then whether oneDNN multiplies by the weight, and by its transpose.
    """

    weight: th.Tensor
    transposed: th.Tensor
    bias: losses.F32
    onednn: bool
    onednn_back: bool


class LayerGradient(NamedTuple):
    """Where a lane adds up the gradient of one layer."""

    weight: th.Tensor
    bias: losses.F32


@dataclass(slots=True)
class Buffers:
    """A lane's memory for n rows.

    `x` [n, features] receives gathered observations. `outputs[net][layer]` and `back[net][layer]`
    are [n, width]: a layer's output, the head's last, and the gradient by it.
    """

    x: th.Tensor
    outputs: list[list[th.Tensor]]
    back: list[list[th.Tensor]]


class Pass(NamedTuple):
    """A forward pass over n rows: by network, the layers' outputs, and the heads' as arrays.

    The heads' outputs come without their biases; a loss leaves its gradient in their place.
    """

    outputs: list[list[th.Tensor]]
    logits: losses.F32
    value: losses.F32


class Lane:
    """One thread's share: its buffers, its gradient and its sums for the log."""

    def __init__(self, network: ActorCritic) -> None:
        self.network = network
        self.gradient = th.zeros_like(network.flat)
        self.layers = network.split(self.gradient)
        self.stats = np.zeros(losses.N_STATS)
        self._buffers: dict[int, Buffers] = {}
        self._full = self._allocate(CHUNK)

    def _allocate(self, n: int) -> Buffers:
        outputs = [
            [th.empty(n, layer.weight.shape[0]) for layer in net] for net in self.network.nets
        ]
        back = [[th.empty_like(h) for h in net[:-1]] for net in outputs]
        return Buffers(th.empty(n, self.network.n_features), outputs, back)

    def buffers(self, n: int) -> Buffers:
        """The buffers' first n rows, n at most `CHUNK`."""
        found = self._buffers.get(n)
        if found is None:
            full = self._full
            found = Buffers(
                full.x[:n],
                [[h[:n] for h in net] for net in full.outputs],
                [[h[:n] for h in net] for net in full.back],
            )
            self._buffers[n] = found
        return found

    def forward(self, x: th.Tensor) -> Pass:
        """Evaluate both networks on observations x [n, features], n at most `CHUNK`."""
        activate = self.network.activate
        outputs = []
        for layers, memory in zip(self.network.nets, self.buffers(x.shape[0]).outputs, strict=True):
            h = x
            net = []
            for layer, out in zip(layers, memory, strict=True):
                h = linear(h, layer.weight, out, layer.onednn)
                net.append(h)
                if layer is not layers[-1]:
                    activate(h.numpy(), layer.bias)
            outputs.append(net)
        return Pass(outputs, outputs[0][-1].numpy(), outputs[1][-1].numpy())

    def backward(self, x: th.Tensor, done: Pass) -> None:
        """Add to `gradient`, the heads' outputs having become the loss's gradient by them.

        Args:
            x: float32 [n, features] the inputs.
            done: the forward pass, whose heads' outputs are now gradients.
        """
        differentiate = self.network.differentiate
        back = self.buffers(x.shape[0]).back
        for layers, grads, outputs, memory in zip(
            self.network.nets, self.layers, done.outputs, back, strict=True
        ):
            d = outputs[-1]
            for i in range(len(layers) - 1, 0, -1):
                grads[i].weight.addmm_(d.t(), outputs[i - 1])
                d = linear(d, layers[i].transposed, memory[i - 1], layers[i].onednn_back)
                differentiate(d.numpy(), outputs[i - 1].numpy(), grads[i - 1].bias)
            grads[0].weight.addmm_(d.t(), x)

    def clear(self) -> None:
        """Forget gradient and sums."""
        self.gradient.zero_()
        self.stats[:] = 0.0
