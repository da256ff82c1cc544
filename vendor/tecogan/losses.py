"""The losses of FRVSR and TecoGAN, each a number of a graph, and the balance between generator and discriminator.

Papers: arXiv 1801.04590 and 1811.09393. Frames are float RGB, nominally in [0, 1]; ``dim`` 2 of a sequence and 1 of a
frame is colour. Every loss is computed in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3  # a quarter of a grey level: below it the loss is round, above it straight
_FLAT = 1e-4  # mean squared slope, values in 0..1 a pixel, below which a window counts as having no texture
FEATURE_NORMS = (12.0, 14.0, 24.0, 100.0)  # of thunil/TecoGAN: what brings the four layers to one level


def charbonnier(a: Tensor, b: Tensor, *, epsilon: float = CHARBONNIER_EPSILON) -> Tensor:
    """Return the mean of sqrt((a - b)^2 + epsilon^2) over everything: a robust, everywhere smooth distance."""
    return (_float(a) - _float(b)).square().add(epsilon**2).sqrt().mean()


def ping_pong_loss(frames: Tensor) -> Tensor:
    """Return the mean absolute difference of the two visits to each frame of a ping-pong sequence, Nx(2T-1)x….

    The turning point is visited once and does not count.

    Raises:
        ValueError: an even number of frames, or fewer than three.
    """
    length = frames.shape[1]
    if length < 3 or length % 2 == 0:
        raise ValueError(f"A ping-pong sequence has 3, 5, 7 … frames, not {length}.")
    half = length // 2
    return (_float(frames[:, :half]) - _float(frames.flip(1)[:, :half])).abs().mean()


def optical_flow(previous: Tensor, current: Tensor, *, window: int = 15, stride: int = 4) -> Tensor:
    """Return Nx2xhxw, (x, y) in pixels: how far Nx1xHxW ``current`` has moved on from ``previous``, by Lucas-Kanade.

    One step, without pyramids: for motion of up to about a pixel. A window's least squares, held towards 0 where it has
    no texture (gradients of less than about two grey levels). Values are those of windows every ``stride`` pixels.
    """
    previous, current = (F.avg_pool2d(_float(each), 3, 1) for each in (previous, current))
    mean = (previous + current) / 2
    slope_x = (mean[..., 1:-1, 2:] - mean[..., 1:-1, :-2]) / 2
    slope_y = (mean[..., 2:, 1:-1] - mean[..., :-2, 1:-1]) / 2
    change = (current - previous)[..., 1:-1, 1:-1]
    products = torch.cat(
        (slope_x * slope_x, slope_x * slope_y, slope_y * slope_y, slope_x * change, slope_y * change), 1
    )
    xx, xy, yy, xt, yt = F.avg_pool2d(products, window, stride).chunk(5, 1)
    xx, yy = xx + _FLAT, yy + _FLAT
    return torch.cat((xy * yt - yy * xt, xy * xt - xx * yt), 1) / (xx * yy - xy * xy)


def adversarial_loss(fake: Tensor) -> Tensor:
    """Return the generator's mean of -log D(fake), for the discriminator's logits."""
    return F.softplus(-_float(fake)).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's mean of -log D(real) - log(1 - D(fake)), for its logits."""
    return F.softplus(-_float(real)).mean() + F.softplus(_float(fake)).mean()


def feature_space_loss(
    real: Sequence[Tensor], fake: Sequence[Tensor], *, norms: Sequence[float] = FEATURE_NORMS
) -> Tensor:
    """Return how far apart the discriminator's features of true and generated frames lie; only ``fake`` learns.

    Layer by layer the absolute difference, summed over channels, averaged over pixels, divided by the layer's norm.
    """
    layers = [
        (_float(a.detach()) - _float(b)).abs().sum(1).mean() / norm
        for a, b, norm in zip(real, fake, norms, strict=True)
    ]
    return torch.stack(layers).sum()


def balance(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean log D(real) - mean log D(fake), for logits: 0 where it cannot tell, the larger the stronger it is."""
    return (F.softplus(-_float(fake)).mean() - F.softplus(-_float(real)).mean()).detach()


class DiscriminatorBalance:
    """Says whether the discriminator may learn: only while the moving average of its ``balance`` is below a threshold.

    ``average`` is all of its state. thunil/TecoGAN has the threshold 0.4 and the decay 0.99.
    """

    def __init__(self, *, threshold: float = 0.4, decay: float = 0.99, average: float = 0.0) -> None:
        self.threshold, self.decay, self.average = threshold, decay, average

    def allows(self, value: float) -> bool:
        """Return whether the discriminator may learn now, with ``value`` the balance of this iteration."""
        self.average = self.decay * self.average + (1 - self.decay) * value
        return self.average < self.threshold


def _float(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
