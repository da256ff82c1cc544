"""FRNet, the frame-recurrent generator of FRVSR and TecoGAN.

Papers: "Frame-Recurrent Video Super-Resolution" (arXiv 1801.04590) and "Learning Temporal Coherence via
Self-Supervision for GAN-based Video Generation" (arXiv 1811.09393). First repository: github.com/thunil/TecoGAN.
The state dict has the keys of TecoGAN-PyTorch, so checkpoints load strictly in both directions.

One step makes one output frame::

    previous LR, this LR --FNet--> motion --upsample--> warp the previous output --space to depth--+
    this LR ---------------------------------------------------------------------------------------+--SRNet--> output

Frames, outputs and states keep the dtype in which the caller hands them in; the convolutions run in the dtype of
their weights; motion, coordinates and resampling are always at least float32, because a bfloat16 coordinate is
already off by whole pixels at the far side of a wide frame. The best use of a half-precision network is therefore
with float32 frames: the state then loses nothing between the frames, and no cast is spent on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vendor.tecogan.sequence import SequenceState

Degradation = Literal["BD", "BI"]

WIDTH = 64  # channels of SRNet's features
MAX_FLOW = 24.0  # LR pixels a frame; motion beyond cannot be expressed
FLOW_STRIDE = 8  # FNet halves its input three times
CUBIC_A = -0.75


class Hyperparameters(TypedDict):
    """The arguments of ``FRNet`` that a state dict implies."""

    scale: int
    blocks: int
    degradation: Degradation


def space_to_depth(x: Tensor, scale: int) -> Tensor:
    """Return NxCx(s*h)x(s*w) as Nx(s*s*C)xhxw, contiguous, channels in the order (dy, dx, colour).

    That is TensorFlow's order, which the weights expect; torch's ``pixel_unshuffle`` has (colour, dy, dx). It is
    used for the gathering all the same: moving its planes afterwards is twice as fast as one six-way permutation.
    """
    n, c, height, width = x.shape
    planes = F.pixel_unshuffle(x, scale).view(n, c, scale * scale, height // scale, width // scale)
    return planes.transpose(1, 2).reshape(n, scale * scale * c, height // scale, width // scale)


class CubicUpsampler(nn.Module):
    """Upsampling for the BD degradation: output pixel s*i + d lies at input position i + d/s (the corner grid).

    ``kernels`` (s x 4, float32, part of the state dict): row d weighs the input pixels i-1, i, i+1, i+2. Edges are
    replicated. The entries are short binary fractions: a cast of the whole module to bfloat16 leaves them as they are.
    """

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        rows = [[_cubic(tap - 1 - d / scale) for tap in range(4)] for d in range(scale)]
        self.register_buffer("kernels", torch.tensor(rows, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return NxCxhxw as NxCx(s*h)x(s*w), float32 or wider."""
        n, c, h, w = x.shape
        s = self.scale
        x = _at_least_float32(x)
        taps = self.kernels.to(x.dtype)
        phases = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(s * s, 1, 4, 4)
        padded = F.pad(x.reshape(n * c, 1, h, w), (1, 2, 1, 2), mode="replicate")
        with torch.autocast(x.device.type, enabled=False):  # it would run this convolution in half precision
            fine = F.conv2d(padded, phases)
        return F.pixel_shuffle(fine, s).view(n, c, s * h, s * w)


class BilinearUpsampler(nn.Module):
    """Upsampling for the BI degradation: bilinear on the half-pixel grid, as image resizing has it. No buffers."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return NxCxhxw as NxCx(s*h)x(s*w), float32 or wider."""
        x = _at_least_float32(x)
        return F.interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)


class ColourConv(nn.Conv2d):
    """A 3x3 convolution to a few channels on even-sided maps, computed four output pixels at a time.

    Three output channels would leave most of a vector register or a matrix tile idle. The same sums, asked for as
    one 4x4 convolution of stride 2 with four times the channels, cost less than half: measured 50 against 97 ms for
    64 -> 3 channels at 1280x536 on two AVX-512 cores. Parameters and results are those of the plain convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return NxCx(2h)x(2w) convolved, zero-padded, to Nx(out)x(2h)x(2w)."""
        shifted = [F.pad(self.weight, (dx, 1 - dx, dy, 1 - dy)) for dy in (0, 1) for dx in (0, 1)]
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        quads = F.conv2d(x, torch.stack(shifted, 1).flatten(0, 1), bias, stride=2, padding=1)
        return F.pixel_shuffle(quads, 2)


class FNet(nn.Module):
    """Estimates the motion from the current frame back to the previous one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1 = _flow_stage(6, 32, nn.MaxPool2d(2))
        self.encoder2 = _flow_stage(32, 64, nn.MaxPool2d(2))
        self.encoder3 = _flow_stage(64, 128, nn.MaxPool2d(2))
        self.decoder1 = _flow_stage(128, 256, _bilinear_doubling())
        self.decoder2 = _flow_stage(256, 128, _bilinear_doubling())
        self.decoder3 = _flow_stage(128, 64, _bilinear_doubling())
        self.flow = nn.Sequential(_conv(64, 32), nn.LeakyReLU(0.2, inplace=True), _conv(32, 2))

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Return Nx2xhxw motion in LR pixels (x, y), float32 or wider, for Nx3xhxw frames of any size."""
        h, w = current.shape[-2:]
        x = _pad_to_multiple(torch.cat((current, previous), 1).contiguous(), FLOW_STRIDE)
        x = x.to(_weight_dtype(self.encoder1))
        for stage in (self.encoder1, self.encoder2, self.encoder3, self.decoder1, self.decoder2, self.decoder3):
            x = stage(x)
        motion = _at_least_float32(self.flow(x)[..., :h, :w])
        return torch.tanh(motion) * MAX_FLOW


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip, without normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(WIDTH, WIDTH), nn.ReLU(inplace=True), _conv(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Return NxCxhxw features refined."""
        residual: Tensor = self.conv(x)
        return residual.add_(x)


class SRNet(nn.Module):
    """Makes the output frame of the LR frame and the previous output, warped."""

    def __init__(self, scale: int, blocks: int, degradation: Degradation) -> None:
        super().__init__()
        self.scale = scale
        self.conv_in = nn.Sequential(_conv(3 + 3 * scale * scale, WIDTH), nn.ReLU(inplace=True))
        self.resblocks = nn.Sequential(*(ResidualBlock() for _ in range(blocks)))
        doublings: list[nn.Module] = []
        for _ in range(scale // 2):  # one for x2, two for x4
            doublings += (nn.ConvTranspose2d(WIDTH, WIDTH, 3, 2, 1, output_padding=1), nn.ReLU(inplace=True))
        self.conv_up = nn.Sequential(*doublings)
        self.conv_out = ColourConv(WIDTH, 3, 3, padding=1)
        self.upsample_func = _upsampler(scale, degradation)

    def forward(self, lr: Tensor, warped_hr: Tensor) -> Tensor:
        """Return the Nx3x(s*h)x(s*w) output in ``lr``'s dtype, for ``lr`` Nx3xhxw and the warped previous output."""
        x = torch.cat((lr, space_to_depth(warped_hr, self.scale).to(lr.dtype)), 1).contiguous()
        x = self.conv_in(x.to(_weight_dtype(self.conv_in)))
        detail = self.conv_out(self.conv_up(self.resblocks(x)))
        output: Tensor = self.upsample_func(lr).add_(detail)  # in float32: half precision would cost grey levels here
        return output.to(lr.dtype)


class FRNet(nn.Module):
    """The whole generator: motion, warp, reconstruction.

    ``degradation`` says how the LR frames were made, and so where output pixels lie: "BD" (Gaussian blur, every s-th
    pixel: output pixel s*i on input pixel i) or "BI" (bicubic resizing, half-pixel centres). Frames are Nx3xhxw
    float RGB in [0, 1], any size from 1x1; outputs are unclamped.

    Raises:
        ValueError: a scale other than 2 or 4, no blocks, or an unknown degradation.
    """

    def __init__(self, scale: int = 4, blocks: int = 10, degradation: Degradation = "BD") -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ValueError(f"FRNet's scale is 2 or 4, not {scale}.")
        if blocks < 1:
            raise ValueError(f"FRNet needs at least 1 residual block, not {blocks}.")
        self.scale = scale
        self.blocks = blocks
        self.degradation = degradation
        self.fnet = FNet()
        self.srnet = SRNet(scale, blocks, degradation)
        self.upsample_func = _upsampler(scale, degradation)  # its own: shared buffers cannot go into safetensors

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> FRNet:
        """Return the network that ``state_dict`` holds, in float32 on the CPU; all is read off the tensors.

        Raises:
            ValueError: the tensors are not those of an FRNet, or some are missing, foreign or of another shape.
        """
        tensors = strip_prefix(state_dict)
        network = cls(**hyperparameters_from_state_dict(tensors))
        try:
            network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:  # torch's only word for it
            raise ValueError(f"The checkpoint looks like an FRNet but does not fit one. {error}") from error
        return network

    @property
    def reach(self) -> int:
        """How many LR pixels ``reconstruct`` sees beyond the one that it renders, in every direction.

        One for conv_in, two a block, one for conv_up and conv_out together (either doubling looks one of its own
        pixels ahead, conv_out one HR pixel each way: never past the next LR pixel). The upsampled LR frame that is
        added reaches two (the cubic's taps i-1 ... i+2), so it never decides.
        """
        return 1 + 2 * self.blocks + 1

    def flow(self, previous: Tensor, current: Tensor) -> Tensor:
        """Return Nx2xhxw motion (x, y) in LR pixels, float32, within +-24, for two Nx3xhxw frames.

        It points back: what ``current`` shows at p, ``previous`` shows at p + motion. FNet sees the frames padded by
        reflection at the right and the bottom to a multiple of 8.
        """
        motion: Tensor = self.fnet(current, previous)
        return motion

    def upsample_flow(self, flow: Tensor) -> Tensor:
        """Return Nx2xhxw motion in LR pixels as Nx2x(s*h)x(s*w) motion in HR pixels, float32."""
        fine: Tensor = self.upsample_func(_at_least_float32(flow) * self.scale)
        return fine

    def warp(self, image: Tensor, flow: Tensor) -> Tensor:
        """Return ``image`` (NxCxHxW) sampled bilinearly at p + ``flow[p]`` (Nx2xHxW, x and y in its own pixels).

        The dtype is the image's, the edge pixels go on for ever, and the coordinates are float32.

        Raises:
            ValueError: flow and image differ in size.
        """
        height, width = image.shape[-2:]
        if flow.shape[-2:] != image.shape[-2:]:
            raise ValueError(f"A {width}x{height} image cannot be warped by a {flow.shape[-1]}x{flow.shape[-2]} flow.")
        motion = _at_least_float32(flow)
        columns = torch.linspace(-1, 1, width, dtype=motion.dtype, device=motion.device)
        rows = torch.linspace(-1, 1, height, dtype=motion.dtype, device=motion.device).unsqueeze(1)
        grid = torch.stack(
            (
                torch.add(columns, motion[:, 0], alpha=2 / max(width - 1, 1)),
                torch.add(rows, motion[:, 1], alpha=2 / max(height - 1, 1)),
            ),
            dim=-1,
        )
        return F.grid_sample(image.to(grid.dtype), grid, padding_mode="border", align_corners=True).to(image.dtype)

    def reconstruct(self, lr: Tensor, warped_hr: Tensor) -> Tensor:
        """Return the Nx3x(s*h)x(s*w) output for ``lr`` (Nx3xhxw) and the warped previous output of the same size as it.

        The one part that can be tiled: a crop with ``reach`` LR pixels of margin gives the same centre as the whole
        frame. (The motion sees farther; it and the warp are cheap enough to run whole.)
        """
        output: Tensor = self.srnet(lr, warped_hr)
        return output

    def step(self, lr: Tensor, state: SequenceState | None = None) -> tuple[Tensor, SequenceState]:
        """Return the output for the next frame of a sequence, and the state for the frame after it.

        ``lr`` Nx3xhxw; without a state it is a first frame, which sees black before it. The output is
        Nx3x(s*h)x(s*w) in ``lr``'s dtype and unclamped, as the recurrence needs it. It is ``state.hr``: clamp a copy.

        Raises:
            ValueError: the state belongs to frames of another size, batch or scale.
        """
        n, c, h, w = lr.shape
        fine_shape = (n, c, self.scale * h, self.scale * w)
        if state is None:  # black warped is black, wherever the motion points
            output = self.reconstruct(lr, lr.new_zeros(fine_shape))
        elif state.lr.shape != lr.shape or state.hr.shape != fine_shape:
            raise ValueError(
                f"The state is of {tuple(state.lr.shape)} frames and {tuple(state.hr.shape)} outputs, the frame is "
                f"{tuple(lr.shape)} at x{self.scale}. Start a new sequence: pass no state."
            )
        else:
            motion = self.upsample_flow(self.flow(state.lr, lr))
            output = self.reconstruct(lr, self.warp(state.hr, motion))
        return output, SequenceState(lr=lr, hr=output)

    def forward(self, lr: Tensor, state: SequenceState | None = None) -> tuple[Tensor, SequenceState]:
        """Return ``step(lr, state)``."""
        return self.step(lr, state)


def strip_prefix(state_dict: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """Return the state dict without the ``prefix`` that data-parallel training puts before every key."""
    tensors = dict(state_dict)
    while tensors and all(key.startswith(prefix) for key in tensors):
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def hyperparameters_from_state_dict(state_dict: Mapping[str, Tensor]) -> Hyperparameters:
    """Return scale, block count and degradation as the tensors show them; their keys may have the ``module.`` prefix.

    Raises:
        ValueError: the tensors are not those of an FRNet.
    """
    tensors = strip_prefix(state_dict)
    conv_in = tensors.get("srnet.conv_in.0.weight")
    blocks = {key.split(".")[2] for key in tensors if key.startswith("srnet.resblocks.")}
    if conv_in is None or not blocks or not any(key.startswith("fnet.") for key in tensors):
        raise ValueError("Not an FRNet checkpoint: it lacks srnet.conv_in.0.weight, srnet.resblocks.* or fnet.*.")
    scales = {3 + 3 * scale * scale: scale for scale in (2, 4)}
    channels = conv_in.shape[1] if conv_in.ndim == 4 else 0
    if channels not in scales:
        raise ValueError(
            f"An FRNet's first convolution has {' or '.join(f'{c} (x{s})' for c, s in scales.items())} input channels; "
            f"here srnet.conv_in.0.weight has the shape {tuple(conv_in.shape)}."
        )
    return Hyperparameters(
        scale=scales[channels],
        blocks=len(blocks),
        degradation="BD" if "upsample_func.kernels" in tensors else "BI",
    )


def _cubic(distance: float, a: float = CUBIC_A) -> float:
    """Return Keys' cubic convolution kernel at ``distance`` input pixels."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * (x**3 - 5 * x**2 + 8 * x - 4)
    return 0.0


def _upsampler(scale: int, degradation: Degradation) -> CubicUpsampler | BilinearUpsampler:
    if degradation == "BD":
        return CubicUpsampler(scale)
    if degradation == "BI":
        return BilinearUpsampler(scale)
    raise ValueError(f"FRNet's degradation is 'BD' or 'BI', not {degradation!r}.")


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _flow_stage(inputs: int, outputs: int, resize: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, outputs),
        nn.LeakyReLU(0.2, inplace=True),
        _conv(outputs, outputs),
        nn.LeakyReLU(0.2, inplace=True),
        resize,
    )


def _bilinear_doubling() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


def _pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Return NxCxhxw grown at the right and the bottom: mirrored, or where a side is too short for that, replicated."""
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    for side, amount, padding in ((width, right, (0, right, 0, 0)), (height, down, (0, 0, 0, down))):
        if amount:
            x = F.pad(x, padding, mode="reflect" if amount < side else "replicate")
    return x


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _weight_dtype(layers: nn.Sequential) -> torch.dtype:
    return cast(nn.Conv2d, layers[0]).weight.dtype
