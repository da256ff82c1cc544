"""Finds the weights of the perceptual metrics: the user's files, the cache, an installed package, the network.

Nothing comes with IRSS. Whatever is not a file the user names is used only if its SHA-256 is the one below. Those of
torchvision's files begin with the eight digits in their names, which is what torchvision itself checks; all of each is
as several public projects state it, to the same digits, and the sizes agree with torchvision's own table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from irss_core.errors import UnsupportedCheckpointError, WeightsCorruptError, WeightsUnavailableError
from irss_core.metrics.lpips_networks import TRUNKS, LpipsNet, PerceptualNet
from irss_core.metrics.perceptual_files import HEADS_MEMBER, heads_in_wheel, read_parts
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.catalog import WeightFile
from irss_core.sr.networks import StateDict
from irss_core.sr.weights import ResolvedWeights, package_folder, resolve_file, sha256_of

NAME_A_FILE = "name a file that holds them with --lpips-weights"
STLPIPS_PACKAGE = "stlpips-pytorch==0.0.2"

_TORCHVISION = "https://download.pytorch.org/models"
_BACKBONES: dict[LpipsNet, WeightFile] = {
    "alex": WeightFile(
        filename="alexnet-owt-7be5be79.pth",
        url=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        size_bytes=244_408_911,
    ),
    "squeeze": WeightFile(
        filename="squeezenet1_1-b8a52dc0.pth",
        url=f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth",
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        size_bytes=4_958_839,
    ),
    "vgg": WeightFile(
        filename="vgg16-397923af.pth",
        url=f"{_TORCHVISION}/vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        size_bytes=553_433_881,
    ),
}
_HEADS_WHEEL = WeightFile(
    filename="lpips-0.1.4-py3-none-any.whl",
    url="https://files.pythonhosted.org/packages/9b/13/"
    "1df50c7925d9d2746702719f40e864f51ed66f307b20ad32392f1ad2bb87/lpips-0.1.4-py3-none-any.whl",
    sha256="fd537af5828b69d2e6ffc0a397bd506dbc28ca183543617690844c08e102ec5e",
    size_bytes=53_763,
)
_HEADS_SHA256: dict[LpipsNet, str] = {  # of lpips/weights/v0.1/{net}.pth in that wheel
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}
_STLPIPS_MEMBER = "weights/vST0.0/alex_shift_tolerant.pth"
_STLPIPS_SHA256 = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"

Content = TypeVar("Content")


@dataclass(frozen=True)
class LpipsWeights:
    """The convolutional part (keys ``features.N…``) and the heads, one flat tensor a compared layer; all fp32.

    ``source`` says where both came from; ``sha256`` is of the files, one if it held both.
    """

    backbone: StateDict
    heads: tuple[Tensor, ...]
    source: str
    sha256: tuple[str, ...]


def resolve_lpips(
    net: LpipsNet,
    *,
    cache_dir: Path,
    files: Sequence[Path] = (),
    offline: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> LpipsWeights:
    """Return the weights of LPIPS with that network, fetched into ``cache_dir``/lpips if need be.

    Looks at ``files`` first, in their order; those of other networks are passed over, and one may hold either part or
    both. Then at the cache, for the heads at the installed package ``lpips`` (its files are read, it is not
    imported), and at the publishers' URLs.

    Raises:
        WeightsUnavailableError: a part is not on this machine and cannot be fetched; the message says what to do.
        WeightsCorruptError, UnsupportedCheckpointError: a file is damaged, or none of these networks'.
        CancelledError: ``cancel`` was thrown; a download goes on from there next time.
    """
    folder = _folder(cache_dir)

    def fetch(file: WeightFile) -> ResolvedWeights:
        try:
            return resolve_file(
                file,
                title=f"The weights of LPIPS ({TRUNKS[net].title})",
                remedy="Run this again with downloads on",
                cache_dir=folder,
                offline=offline,
                progress=progress,
                cancel=cancel,
            )
        except WeightsUnavailableError as exc:
            raise WeightsUnavailableError(f"{exc} Or {NAME_A_FILE}.") from exc

    backbone, heads = _users_own(net, files)
    if heads is None and not _is_file(folder / _HEADS_WHEEL.filename):
        heads = _packaged_heads(net)
    if backbone is None:
        found = fetch(_BACKBONES[net])
        backbone = _Part(_present(read_parts(found.paths[0]).backbone, found.paths[0]), found.source, found.sha256[0])
    if heads is None:
        found = fetch(_HEADS_WHEEL)
        heads = _Part(heads_in_wheel(found.paths[0], net), found.source, found.sha256[0])
    return _joined(backbone, heads)


def resolve_stlpips(*, files: Sequence[Path] = ()) -> LpipsWeights:
    """Return the weights of Shift-tolerant LPIPS, from ``files`` or the installed package ``stlpips-pytorch``.

    The package's file is read; the package is not imported, since it wants torchvision and more.

    Raises: as ``resolve_lpips``.
    """
    backbone, heads = _users_own("stlpips", files)
    if backbone is not None:
        if heads is None:
            raise UnsupportedCheckpointError(f"{backbone.source} has no heads; ST-LPIPS comes in one file with them.")
        return _joined(backbone, heads)
    path = _in_package("stlpips_pytorch", _STLPIPS_MEMBER)
    if path is None:
        raise WeightsUnavailableError(_missing_stlpips())
    if (digest := sha256_of(path)) != _STLPIPS_SHA256:
        raise WeightsCorruptError(
            f"{path} is damaged or of another version: its SHA-256 is {digest}, expected {_STLPIPS_SHA256}. "
            f"Install {STLPIPS_PACKAGE} again."
        )
    parts = read_parts(path)
    source = f"package {STLPIPS_PACKAGE}"
    return LpipsWeights(_present(parts.backbone, path), _present(parts.heads, path), source, (digest,))


def missing_words(net: PerceptualNet, *, cache_dir: Path, files: Sequence[Path] = ()) -> str:
    """Return a sentence on what to fetch and where to put it; empty if all that ``net`` needs seems to be here.

    In the cache and the packages only names are looked at. Raises as ``resolve_lpips`` does for ``files``.
    """
    backbone, heads = _users_own(net, files)
    if net == "stlpips":
        here = backbone is not None or _in_package("stlpips_pytorch", _STLPIPS_MEMBER) is not None
        return "" if here else _missing_stlpips()
    folder = _folder(cache_dir)
    wanted = [_BACKBONES[net]] if backbone is None else []
    if heads is None and _in_package("lpips", HEADS_MEMBER.format(net=net)) is None:
        wanted.append(_HEADS_WHEEL)
    missing = [f"{file.filename} ({file.url})" for file in wanted if not _is_file(folder / file.filename)]
    if not missing:
        return ""
    return f"LPIPS ({TRUNKS[net].title}) needs {' and '.join(missing)} in {folder}; or {NAME_A_FILE}."


# -- Places ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part(Generic[Content]):
    content: Content
    source: str
    sha256: str


def _users_own(
    net: PerceptualNet, files: Sequence[Path]
) -> tuple[_Part[StateDict] | None, _Part[tuple[Tensor, ...]] | None]:
    """Return the parts of ``net`` that the files hold; the first file that has one gives it."""
    backbone, heads = None, None
    for path in map(Path, files):
        parts = read_parts(path)
        if parts.net != net:
            continue
        digest = sha256_of(path)
        if backbone is None and parts.backbone is not None:
            backbone = _Part(parts.backbone, str(path), digest)
        if heads is None and parts.heads is not None:
            heads = _Part(parts.heads, str(path), digest)
    return backbone, heads


def _packaged_heads(net: LpipsNet) -> _Part[tuple[Tensor, ...]] | None:
    """Return the heads in the installed package ``lpips``, or None if it has not the published ones."""
    path = _in_package("lpips", HEADS_MEMBER.format(net=net))
    if path is None or sha256_of(path) != _HEADS_SHA256[net]:
        return None
    return _Part(_present(read_parts(path).heads, path), f"package lpips, {path.name}", _HEADS_SHA256[net])


def _in_package(package: str, member: str) -> Path | None:
    folder = package_folder(package)
    return folder / member if folder is not None and _is_file(folder / member) else None


def _folder(cache_dir: Path) -> Path:
    return Path(cache_dir) / "lpips"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _joined(backbone: _Part[StateDict], heads: _Part[tuple[Tensor, ...]]) -> LpipsWeights:
    parts = (backbone, heads)
    return LpipsWeights(
        backbone.content,
        heads.content,
        "; ".join(dict.fromkeys(part.source for part in parts)),
        tuple(dict.fromkeys(part.sha256 for part in parts)),
    )


def _present(content: Content | None, path: Path) -> Content:
    if content is None:
        raise WeightsCorruptError(f"{path} lacks a part it is published with. Delete it, and get it again.")
    return content


def _missing_stlpips() -> str:
    return (
        f"ST-LPIPS needs the package {STLPIPS_PACKAGE} (`pip install --no-deps {STLPIPS_PACKAGE}`; its "
        f"{_STLPIPS_MEMBER} is read, nothing imported); or {NAME_A_FILE}."
    )
