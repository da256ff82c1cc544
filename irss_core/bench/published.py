"""PUBLISHED: rows of published tables that can be run again, each with its source and how near is near enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from irss_core.bench.results import QualityResults
from irss_core.errors import InvalidOptionError

_PYTORCH = "TecoGAN-PyTorch, README, github.com/skycrapers/TecoGAN-PyTorch"
_ESRGAN = "ESRGAN, README, github.com/xinntao/ESRGAN"
_BASELINE = "the literature on Set5 (BI x4), for example EDSR (Lim et al. 2017), table 2"


@dataclass(frozen=True)
class Expected:
    """A published value and the difference up to which ours counts as the same."""

    metric: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    ``model`` is a name of our catalog or "" where a checkpoint file must be given: ``weights`` then says which.
    ``data`` says what the folder must hold, ``samples`` how many stills or clips, ``frames`` how many frames in all.
    """

    name: str
    title: str
    source: str
    protocol: str
    degradation: str
    average: Literal["frames", "clips"]
    expected: tuple[Expected, ...]
    data: str
    samples: int
    frames: int
    model: str = ""
    weights: str = ""


_VID4 = "Vid4: four folders of PNG frames (calendar 41, city 34, foliage 49, walk 47), the ground truth"
_TOS3 = "ToS3: three folders of PNG frames (bridge, face, room) of Tears of Steel, 549 frames of ground truth"


def _teco(psnr: float, lpips: float, tof: float, tlp: float) -> tuple[Expected, ...]:
    return (
        Expected("psnr_y", psnr, 0.05),
        Expected("lpips_alex", lpips, 0.003),
        Expected("tof", tof, 0.005),
        Expected("tlp100_alex", tlp, 0.03),
    )


def _vid4(name: str, title: str, weights: str, *, degradation: str, expected: tuple[Expected, ...]) -> PublishedRow:
    return PublishedRow(
        name=name,
        title=title,
        source=_PYTORCH,
        protocol="tecogan-official",
        degradation=degradation,
        average="frames",
        expected=expected,
        data=_VID4,
        samples=4,
        frames=171,
        weights=weights,
    )


def _rrdb(dataset: str, samples: int, psnr: float, ssim: float) -> PublishedRow:
    return PublishedRow(
        name=f"{dataset.lower()}-bi-rrdb-psnr",
        title=f"{dataset} BI x4, RRDB trained for PSNR",
        source=_ESRGAN,
        protocol="y-crop4",
        degradation="bi",
        average="clips",
        expected=(Expected("psnr_y", psnr, 0.05), Expected("ssim_y", ssim, 0.001)),
        data=f"{dataset}: the {samples} ground truth pictures",
        samples=samples,
        frames=samples,
        weights="RRDB_PSNR_x4.pth of github.com/xinntao/ESRGAN",
    )


_ALL = (
    PublishedRow(
        name="set5-bi-bicubic",
        title="Set5 BI x4, bicubic",
        source=_BASELINE,
        protocol="y-crop4",
        degradation="bi",
        average="clips",
        expected=(Expected("psnr_y", 28.42, 0.03), Expected("ssim_y", 0.8104, 0.002)),
        data="Set5: the five ground truth pictures (baby, bird, butterfly, head, woman)",
        samples=5,
        frames=5,
        model="bicubic",
    ),
    _rrdb("Set5", 5, 32.73, 0.9011),
    _rrdb("Set14", 14, 28.99, 0.7917),
    _rrdb("BSD100", 100, 27.85, 0.7455),
    _rrdb("Urban100", 100, 27.03, 0.8153),
    _vid4(
        "vid4-bd-frvsr",
        "Vid4 BD, FRVSR of TecoGAN-PyTorch",
        "FRVSR_BD_iter400000.pth of TecoGAN-PyTorch's release",
        degradation="bd",
        expected=_teco(27.06, 0.245, 0.202, 1.094),
    ),
    _vid4(
        "vid4-bd-tecogan",
        "Vid4 BD, TecoGAN of TecoGAN-PyTorch",
        "TecoGAN_BD_iter500000.pth of TecoGAN-PyTorch's release",
        degradation="bd",
        expected=_teco(26.01, 0.152, 0.194, 0.515),
    ),
    _vid4(
        "vid4-bd-tecogan-official",
        "Vid4 BD, the authors' TecoGAN (10 blocks)",
        "the authors' TensorFlow checkpoint, converted to the keys of TecoGAN-PyTorch",
        degradation="bd",
        expected=_teco(25.89, 0.174, 0.208, 0.718),
    ),
    _vid4(
        "vid4-bi-tecogan",
        "Vid4 BI, TecoGAN of TecoGAN-PyTorch",
        "TecoGAN_BI_iter500000.pth of TecoGAN-PyTorch's release",
        degradation="bi",
        expected=_teco(24.93, 0.184, 0.201, 0.573),
    ),
    PublishedRow(
        name="vid4-bd-egvsr",
        title="Vid4 BD, EGVSR",
        source="EGVSR (Cao et al. 2021), github.com/Thmen/EGVSR, averaged over frames",
        protocol="tecogan-official",
        degradation="bd",
        average="frames",
        expected=_teco(25.84, 0.138, 0.188, 0.447),
        data=_VID4,
        samples=4,
        frames=171,
        weights="the frames that EGVSR gives: its network is not one of ours, so hand them in as results",
    ),
    PublishedRow(
        name="tos3-bd-tecogan",
        title="ToS3 BD, TecoGAN of TecoGAN-PyTorch",
        source=_PYTORCH,
        protocol="tecogan-official",
        degradation="bd",
        average="frames",
        expected=_teco(33.26, 0.090, 0.136, 0.205),
        data=_TOS3,
        samples=3,
        frames=549,
        weights="TecoGAN_BD_iter500000.pth of TecoGAN-PyTorch's release",
    ),
)

PUBLISHED: dict[str, PublishedRow] = {row.name: row for row in _ALL}


@dataclass(frozen=True)
class Compared:
    """One value beside the published one; ``ours`` is None where it could not be measured, and ``why`` says why."""

    metric: str
    ours: float | None
    theirs: float
    tolerance: float
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether ours is within the tolerance."""
        return self.ours is not None and abs(self.ours - self.theirs) <= self.tolerance


def find_row(name: str) -> PublishedRow:
    """Return the row of that name; raise InvalidOptionError, which lists the names there are, if none has it."""
    try:
        return PUBLISHED[name]
    except KeyError:
        raise InvalidOptionError(f"There is no row named {name!r}. The rows are: {', '.join(PUBLISHED)}.") from None


def compare(row: PublishedRow, results: QualityResults) -> list[Compared]:
    """Return our values of the row's only entry beside the published ones."""
    entry = results.entries[0].name
    missing: Mapping[str, str] = {metric.key: metric.missing for metric in results.metrics}
    problem = next((score.problem for score in results.scores if score.problem), "")
    return [
        Compared(
            metric=each.metric,
            ours=None if problem else results.average(entry, each.metric, row.average),
            theirs=each.value,
            tolerance=each.tolerance,
            why=problem or missing.get(each.metric, ""),
        )
        for each in row.expected
    ]


def check_data(row: PublishedRow, results: QualityResults) -> list[str]:
    """Return in words in what the data measured on is not what the row was published for."""
    remarks = []
    frames = sum(sample.frames for sample in results.samples)
    if len(results.samples) != row.samples:
        remarks.append(f"The row needs {row.samples} samples, the folder has {len(results.samples)}: {row.data}.")
    elif frames != row.frames:
        remarks.append(f"The row needs {row.frames} frames, the folder has {frames}: {row.data}.")
    return remarks
