"""The command line's parts: what files are meant, where results go, what is said, and how everything ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from irss_core.cli import doctor
from irss_core.cli.batch import run_batch
from irss_core.cli.console import Console, PlainProgress
from irss_core.cli.inputs import Failure, Found, Item, Naming, Plan, find_sources, plan_batch
from irss_core.cli.invocation import Invocation, load_settings
from irss_core.cli.region import Area, Region, parse_region
from irss_core.cli.root import main
from irss_core.cli.wording import printable, progress_text
from irss_core.errors import (
    CancelledError,
    CorruptMediaError,
    InvalidOptionError,
    OutputExistsError,
    UnknownModelError,
    WeightsUnavailableError,
)
from irss_core.progress import CancelToken, ProgressUpdate
from irss_core.sr.catalog import MODELS

SUFFIXES = frozenset({".png", ".jpg", ".mp4"})


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Screen:
    """A console whose two streams can be read."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.console = Console(self.out, self.err, **({"clock": clock} if clock else {}))

    @property
    def notes(self) -> list[str]:
        return self.err.getvalue().splitlines()

    @property
    def results(self) -> list[str]:
        return self.out.getvalue().splitlines()


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith("IRSS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IRSS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IRSS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def found(*names: str, output: str = "out", recursive: bool = False) -> Found:
    return find_sources(names, output=output, recursive=recursive, suffixes=SUFFIXES)


def paths(result: Found) -> list[str]:
    return [source.path.as_posix() for source in result.sources]


def plan(result: Found, output: str, **naming: object) -> Plan:
    options = {"still_scale": 4, "clip_scale": 4} | naming
    return plan_batch(result, output, naming=Naming(**options), is_clip=lambda path: path.suffix == ".mp4")


def targets(result: Plan) -> dict[str, str]:
    return {item.source.as_posix(): item.target.as_posix() for item in result.items}


@pytest.mark.usefixtures("here")
class TestInputs:
    def test_files_and_patterns_and_folders_come_in_the_order_given(self):
        touch("z.png", "a1.png", "a2.png", "folder/b.jpg", "folder/a.png", "folder/c.mp4")
        assert paths(found("z.png", "a*.png", "folder")) == [
            "z.png", "a1.png", "a2.png", "folder/a.png", "folder/b.jpg", "folder/c.mp4",
        ]  # fmt: skip

    def test_a_pattern_reaches_into_folders(self):
        touch("a/b/c.png", "a/d.png", "a/e.txt")
        assert paths(found("a/**/*.png")) == ["a/b/c.png", "a/d.png"]

    @pytest.mark.parametrize("name", ["photo[1].png", "what?.png", "a b\nc.png", "-v.png", "Ωмега 写真.png"])
    def test_odd_names_are_files(self, name):
        touch(name)
        assert paths(found(name)) == [name]
        assert not found(name).failures

    def test_a_file_is_done_once_however_often_it_is_named(self):
        touch("folder/a.png")
        assert paths(found("folder/a.png", "folder", "./folder/../folder/a.png", "folder/*")) == ["folder/a.png"]

    def test_folders_give_media_files_only_and_nothing_hidden(self):
        touch("f/a.PNG", "f/notes.txt", "f/.hidden.png", "f/.git/b.png", "f/deep/c.png")
        assert paths(found("f")) == ["f/a.PNG"]
        assert paths(found("f", recursive=True)) == ["f/a.PNG", "f/deep/c.png"]

    def test_links_to_folders_are_not_followed(self):
        touch("f/a.png")
        Path("f/loop").symlink_to("..")
        assert paths(found("f", recursive=True)) == ["f/a.png"]

    def test_the_output_folder_below_the_input_is_left_out(self):
        touch("f/a.png", "f/out/a_x4.png", "f/out/deep/b_x4.png", "f/outer/c.png")
        for output in ("f/out", "f/out/", "./f/../f/out"):
            assert paths(found("f", output=output, recursive=True)) == ["f/a.png", "f/outer/c.png"]

    def test_results_of_an_earlier_run_into_the_same_folder_are_left_out(self):
        touch("f/a.jpg", "f/a_x4.png", "f/a_x3.5.png", "f/b_x4.png", "f/deep/a_x4.png")
        result = found("f", output="f", recursive=True)
        assert paths(result) == ["f/a.jpg", "f/b_x4.png", "f/deep/a_x4.png"]
        assert result.earlier_results == 2

    def test_pictures_that_are_called_like_results_are_inputs_elsewhere(self):
        touch("f/a.jpg", "f/a_x4.png")
        assert paths(found("f", output="out")) == ["f/a.jpg", "f/a_x4.png"]
        assert paths(found("f/a.jpg", "f/a_x4.png", output="f")) == ["f/a.jpg", "f/a_x4.png"]

    def test_names_that_lead_nowhere_are_failures_beside_the_rest(self):
        touch("a.png", "empty/notes.txt", "nested/deep/a.png")
        result = found("a.png", "missing.png", "*.tiff", "empty", "nested")
        assert paths(result) == ["a.png"]
        assert [str(failure.path) for failure in result.failures] == ["missing.png", "*.tiff", "empty", "nested"]
        assert "--recursive" in str(result.failures[3].error)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
    def test_an_unreadable_folder_fails_alone(self):
        touch("f/a.png", "f/shut/b.png")
        Path("f/shut").chmod(0)
        try:
            result = found("f", recursive=True)
        finally:
            Path("f/shut").chmod(0o700)
        assert paths(result) == ["f/a.png"]
        assert [failure.path.name for failure in result.failures] == ["shut"]


@pytest.mark.usefixtures("here")
class TestOutputs:
    def test_names_in_a_folder_tell_the_scale_and_keep_the_structure(self):
        touch("f/a.jpg", "f/deep/b.jpg", "f/deep/c.mp4", "d.png")
        result = plan(found("f", "d.png", recursive=True), "out", still_scale=3.5, clip_scale=2)
        assert targets(result) == {
            "f/a.jpg": "out/a_x3.5.png",
            "f/deep/b.jpg": "out/deep/b_x3.5.png",
            "f/deep/c.mp4": "out/deep/c_x2.mp4",
            "d.png": "out/d_x3.5.png",
        }

    @pytest.mark.parametrize(
        ("name", "still_format", "expected"),
        [
            ("a.jpeg", None, "a_x4.png"),
            ("a.jpeg", "keep", "a_x4.jpeg"),
            ("a.bmp", "keep", "a_x4.png"),
            ("a.tar.jpg", "webp", "a.tar_x4.webp"),
            ("a.png", "tiff", "a_x4.tif"),
            ("a.png", "jpeg", "a_x4.jpg"),
        ],
    )
    def test_formats_of_stills(self, name, still_format, expected):
        assert Naming(4, 4, still_format).result_name(Path(name), clip=False) == expected

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("a.mp4", ".mp4"), ("a.mov", ".mov"), ("a.webm", ".mkv"), ("a.MKV", ".mkv"), ("a.gif", ".mp4"), ("a", ".mp4")],
    )
    def test_containers_of_clips_hold_their_sound(self, name, expected):
        assert Naming(4, 2).result_name(Path(name), clip=True) == f"a_x2{expected}"

    def test_every_container_chosen_can_be_written(self):
        from irss_core.media.video import CLIP_SUFFIXES, OUTPUT_SUFFIXES

        chosen = {Path(Naming(4, 4).result_name(Path(f"a{suffix}"), clip=True)).suffix for suffix in CLIP_SUFFIXES}
        assert chosen <= set(OUTPUT_SUFFIXES)

    @pytest.mark.parametrize(
        ("output", "expected"), [("b.png", "b.png"), ("out", "out/a_x4.png"), ("out.d/", "out.d/a_x4.png")]
    )
    def test_one_input_goes_to_a_file_or_a_folder(self, output, expected):
        touch("a.jpg")
        assert targets(plan(found("a.jpg"), output)) == {"a.jpg": expected}

    def test_an_existing_folder_is_a_folder_whatever_it_is_called(self):
        touch("a.jpg", "out.png/keep")
        assert targets(plan(found("a.jpg"), "out.png")) == {"a.jpg": "out.png/a_x4.png"}

    @pytest.mark.parametrize("names", [("a.png", "b.png"), ("f",), ("*.png",)])
    def test_several_inputs_need_a_folder(self, names):
        touch("a.png", "b.png", "f/c.png", "there")
        with pytest.raises(InvalidOptionError, match="several inputs"):
            plan(found(*names), "out.png")
        with pytest.raises(InvalidOptionError, match="several inputs"):
            plan(found(*names), "there")

    @pytest.mark.parametrize(
        ("name", "output", "still_format"),
        [("a.png", "a.mp4", None), ("a.mp4", "b.png", None), ("a.png", "b.xyz", None), ("a.png", "b.png", "jpeg")],
    )
    def test_endings_that_cannot_hold_the_result_are_refused(self, name, output, still_format):
        touch(name)
        with pytest.raises(InvalidOptionError, match=rf"{output}.*(cannot hold|contradict)"):
            plan(found(name), output, still_format=still_format)

    def test_a_format_that_agrees_with_the_ending_is_fine(self):
        touch("a.png")
        assert targets(plan(found("a.png"), "b.jpeg", still_format="jpeg")) == {"a.png": "b.jpeg"}

    @pytest.mark.parametrize("names", [("f/a.png", "g/a.png"), ("f/a.png", "f/a.jpg"), ("f", "g")])
    def test_two_inputs_with_one_result_are_refused_before_anything_runs(self, names):
        touch("f/a.png", "f/a.jpg", "g/a.png")
        with pytest.raises(InvalidOptionError, match=r"a\.(png|jpg).*a\.(png|jpg).*out/a_x4\.png"):
            plan(found(*names), "out")

    def test_different_endings_kept_do_not_clash(self):
        touch("a.png", "a.jpg")
        kept = plan(found("a.png", "a.jpg"), "out", still_format="keep")
        assert set(targets(kept).values()) == {"out/a_x4.png", "out/a_x4.jpg"}

    def test_an_input_is_never_replaced(self):
        touch("a.png", "a_x4.png")
        with pytest.raises(InvalidOptionError, match="is an input"):
            plan(found("a.png"), "./a.png")
        with pytest.raises(InvalidOptionError, match="is an input"):
            plan(found("a.png", "a_x4.png"), ".")
        Path("link.png").symlink_to("a.png")
        with pytest.raises(InvalidOptionError, match="is an input"):
            plan(found("a.png"), "link.png")

    def test_files_of_no_known_kind_are_failures(self):
        touch("a.png", "b.png")

        def is_clip(path: Path) -> bool:
            if path.name == "a.png":
                raise CorruptMediaError("damaged")
            return False

        result = plan_batch(found("a.png", "b.png"), "out", naming=Naming(4, 4), is_clip=is_clip)
        assert [failure.path.name for failure in result.failures] == ["a.png"]
        assert [item.source.name for item in result.items] == ["b.png"]


@pytest.mark.usefixtures("here")
class TestBatch:
    def items(self, *names: str) -> Plan:
        return Plan(tuple(Item(Path(name), Path("out") / name, clip=False) for name in names), ())

    def write(self, item: Item, progress: object) -> str:
        item.target.write_bytes(b"made")
        return "4x4"

    def run(self, plan: Plan, work: Callable, screen: Screen, *, overwrite: bool = False, cancel=None):
        return run_batch(plan, work, console=screen.console, cancel=cancel or CancelToken(), overwrite=overwrite)

    def test_one_bad_file_is_reported_and_the_rest_is_done(self, screen):
        def work(item: Item, progress: object) -> str:
            if item.source.name == "b.png":
                raise CorruptMediaError("The file ends early. Copy it again.")
            return self.write(item, progress)

        tally = self.run(self.items("a.png", "b.png", "c.png"), work, screen)
        assert (tally.done, tally.failed, tally.complete) == (2, [Path("b.png")], False)
        assert screen.notes == ["irss: b.png: The file ends early. Copy it again."]
        assert screen.results[0] == f"a.png -> {Path('out/a.png')}: 4x4"
        assert "2 of 3 done" in screen.results[2]
        assert "1 failed" in screen.results[2]

    @pytest.mark.parametrize(
        "error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")]
    )
    def test_errors_of_the_system_are_one_line_and_no_end(self, error, screen):
        def work(item: Item, progress: object) -> str:
            raise error

        assert len(self.run(self.items("a.png", "b.png"), work, screen).failed) == 2
        assert screen.notes[0] == f"irss: a.png: {error.strerror}"

    def test_what_is_there_is_left_alone_unless_told(self, screen):
        touch("out/a.png")
        plan = self.items("a.png", "b.png")
        tally = self.run(plan, self.write, screen)
        assert Path("out/a.png").read_bytes() == b"x"
        assert (tally.done, tally.skipped, tally.complete) == (1, [Path("a.png")], False)
        assert "--overwrite" in screen.notes[0]
        assert self.run(plan, self.write, screen, overwrite=True).complete
        assert Path("out/a.png").read_bytes() == b"made"

    def test_a_result_that_appears_meanwhile_is_skipped_too(self, screen):
        def work(item: Item, progress: object) -> str:
            raise OutputExistsError("out/a.png exists already.")

        assert self.run(self.items("a.png"), work, screen).skipped == [Path("a.png")]

    def test_cancelling_stops_before_the_next_file_and_says_how_far_it_came(self, screen):
        cancel = CancelToken()

        def work(item: Item, progress: object) -> str:
            cancel.cancel()
            return self.write(item, progress)

        with pytest.raises(CancelledError, match="1 of 3"):
            self.run(self.items("a.png", "b.png", "c.png"), work, screen, cancel=cancel)
        assert not Path("out/b.png").exists()

    def test_files_that_were_bad_from_the_start_count(self, screen):
        plan = Plan(self.items("a.png").items, (Failure(Path("x.png"), CorruptMediaError("empty")),))
        assert not self.run(plan, self.write, screen).complete
        assert "1 of 2 done" in screen.results[1]

    def test_names_cannot_break_the_lines_or_the_terminal(self, screen):
        self.run(self.items("a\nb\x1b[31m\udcff.png"), self.write, screen)
        assert screen.results == [r"a\nb\x1b[31m\xff.png -> out/a\nb\x1b[31m\xff.png: 4x4"]


class TestWording:
    def test_text_is_printable_in_any_encoding_a_stream_may_have(self):
        assert printable("a\tb\udce9é\x07\u202e") == r"a\tb\xe9é\x07\u202e"

    @pytest.mark.parametrize(
        ("update", "text"),
        [
            (ProgressUpdate(12, 30, "tiles", 4.0, 6.0), "40 % (12 of 30 tiles), 3.0 tiles/s, 6.0 s left"),
            (ProgressUpdate(12, None, "frames", 60.0, None), "12 frames, 5.0 s a frame"),
            (ProgressUpdate(5e6, 2e7, "bytes", 5.0, 15.0), "25 % (5.0 MB of 20 MB), 1.0 MB/s, 15 s left"),
            (ProgressUpdate(0, 30, "tiles", 0.0, None), "0 % (0 of 30 tiles)"),
            (ProgressUpdate(123.4, 400, "work", 4.0, 9.0), "31 %, 9.0 s left"),
            (ProgressUpdate(30, 30, "tiles", 4.0, 0.0), "100 % (30 of 30 tiles), 7.5 tiles/s"),
        ],
    )
    def test_progress_says_what_is_known(self, update, text):
        assert progress_text(update) == text


class TestProgress:
    def run(self, moments: list[tuple[float, float, float | None]]) -> list[str]:
        now, lines = [0.0], []
        show = PlainProgress("a.png", lines.append, clock=lambda: now[0])
        for time, done, total in moments:
            now[0] = time
            show(ProgressUpdate(done, total, "tiles", time, None))
        return lines

    def test_a_log_gets_a_line_a_tenth_and_none_sooner_than_two_seconds(self):
        assert len(self.run([(t / 100, t, 1000) for t in range(1000)])) <= 5
        assert len(self.run([(t, t, 1000) for t in range(1000)])) == pytest.approx(33, abs=2)
        assert len(self.run([(t * 10, t, 1000) for t in range(0, 1001, 100)])) == 9

    def test_a_short_call_leaves_no_line(self):
        assert self.run([(0.1, 1, 3), (0.2, 2, 3), (0.3, 3, 3)]) == []

    def test_an_unknown_total_is_heard_of_now_and_then(self):
        assert len(self.run([(t, t, None) for t in range(0, 121)])) == 4

    def test_a_log_file_gets_no_control_characters(self):
        now = iter(range(0, 1000, 3))
        screen = Screen(clock=lambda: next(now))
        with screen.console.progress("a\x1b[2Jb.png") as progress:
            for done in range(10):
                progress(ProgressUpdate(done, 10, "tiles", done, None))
        assert len(screen.notes) > 3
        assert all(line.isprintable() for line in screen.notes)

    def test_a_terminal_gets_a_bar_that_is_gone_afterwards(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        err, out = Terminal(), io.StringIO()
        console = Console(out, err)
        with console.progress("[1/2] a[b].png") as progress:
            progress(ProgressUpdate(3, 10, "tiles", 1.0, 2.0))
        assert "[1/2] a[b].png" in err.getvalue()
        assert "\x1b[2K" in err.getvalue()
        assert out.getvalue() == ""

    def test_a_dumb_terminal_gets_plain_lines(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        err = Terminal()
        now = iter(range(0, 1000, 3))
        with Console(io.StringIO(), err, clock=lambda: next(now)).progress("a.png") as progress:
            progress(ProgressUpdate(3, 10, "tiles", 1.0, 2.0))
        assert "\x1b" not in err.getvalue()

    def test_tables_are_never_cut_off_in_a_pipe(self, screen):
        screen.console.table(("name", "where"), [("a", "x" * 300), ("bb", "y")])
        assert screen.results == ["name  where", "a     " + "x" * 300, "bb    y"]


class TestRegion:
    def test_a_region_is_cut_out(self):
        pixels = np.arange(48).reshape(6, 8)
        assert parse_region("2, 1,3,4").crop(pixels).tolist() == pixels[1:5, 2:5].tolist()

    @pytest.mark.parametrize(
        "text", ["", "1,2,3", "1,2,3,4,5", "a,0,1,1", "0,0,0,5", "-1,0,5,5", "1.5,0,5,5", "0,0,5,²"]
    )
    def test_what_is_no_region_is_refused(self, text):
        with pytest.raises(InvalidOptionError, match="X,Y,W,H"):
            parse_region(text)

    @pytest.mark.parametrize("region", [Region(0, 0, 101, 5), Region(96, 0, 5, 5), Region(0, 80, 1, 1)])
    def test_a_region_outside_is_refused_with_the_size(self, region):
        with pytest.raises(InvalidOptionError, match="100x80"):
            Area(region).within(100, 80)

    def test_the_centre_is_in_the_middle_and_never_larger_than_the_picture(self):
        assert Area(centre=20).within(101, 80) == Region(40, 30, 20, 20)
        assert Area(centre=90).within(101, 80) == Region(5, 0, 90, 80)
        assert Area().within(101, 80) == Region(0, 0, 101, 80)

    def test_only_one_part_can_be_named(self):
        with pytest.raises(InvalidOptionError, match="together"):
            Area(Region(0, 0, 1, 1), 5)


class TestDoctor:
    def status(self, available: bool) -> SimpleNamespace:
        return SimpleNamespace(
            available=available, where="in the cache" if available else "not here", size_bytes=5_000_000
        )

    def test_every_finding_that_is_not_fine_has_a_remedy(self, here):
        checks = [
            doctor.check_python((3, 10, 1)),
            doctor.check_python((3, 13, 0)),
            doctor.check_memory(10**9, 10**10),
            doctor.check_device("cpu", "a CPU", gpu_here=True),
            doctor.check_browser([]),
            *doctor.check_weights({"a": self.status(True), "b": self.status(False)}),
        ]
        assert [check.status for check in checks] == ["fail", "warn", "warn", "warn", "warn", "ok", "warn"]
        assert all(check.remedy for check in checks if check.status != "ok")

    def test_no_weights_at_all_is_essential(self):
        assert [c.status for c in doctor.check_weights({"a": self.status(False)})] == ["fail"]

    def test_a_cache_that_is_not_there_yet_is_fine(self, tmp_path):
        checks = list(doctor.check_cache(tmp_path / "not" / "yet"))
        assert checks[0].status == "ok"
        assert not (tmp_path / "not").exists()

    def test_a_cache_that_cannot_be_written_is_essential(self, tmp_path):
        (tmp_path / "file").write_text("no folder")
        (check,) = doctor.check_cache(tmp_path / "file")
        assert check.status == "fail"
        assert "IRSS_CACHE_DIR" in check.remedy

    def test_a_port_in_use_is_told(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            check = doctor.check_port("127.0.0.1", taken.getsockname()[1])
        assert check.status == "warn"
        assert "--port" in check.remedy
        assert doctor.check_port("127.0.0.1", 0).status == "ok"


class TestSettings:
    def test_options_stand_above_the_environment(self, here, monkeypatch):
        monkeypatch.setenv("IRSS_DEVICE", "cuda")
        monkeypatch.setenv("PORT", "8001")
        assert load_settings(device=None).device == "cuda"
        assert load_settings(device="cpu", port=None).device == "cpu"
        assert (load_settings().port, load_settings(port=9).port) == (8001, 9)

    def test_impossible_values_name_the_variable(self, here, monkeypatch):
        monkeypatch.setenv("IRSS_DTYPE", "int4")
        with pytest.raises(InvalidOptionError, match=r"IRSS_DTYPE.*fp32"):
            load_settings()


class TestStopping:
    def test_the_first_signal_throws_the_token_and_the_second_interrupts(self, screen, capfd):
        invocation = Invocation(screen.console, lambda settings: None)
        before = signal.getsignal(signal.SIGINT)
        with invocation.cancellable() as cancel:
            signal.raise_signal(signal.SIGINT)
            assert cancel.cancelled
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
        assert capfd.readouterr().err.count("\n") == 1

    def test_a_termination_is_remembered_for_the_exit_status(self, screen, capfd):
        invocation = Invocation(screen.console, lambda settings: None)
        with invocation.cancellable() as cancel:
            signal.raise_signal(signal.SIGTERM)
        assert cancel.cancelled
        assert invocation.stopped_by == signal.SIGTERM


class FakeUpscaler:
    """Enlarges by repeating pixels, four times by itself; ``on_call`` may fail or cancel."""

    def __init__(self, name: str, on_call: Callable[[np.ndarray, CancelToken | None], None]) -> None:
        from irss_core.sr.image import UpscaleResult

        self.model = SimpleNamespace(name=name, title=f"Title of {name}", default_outscale=4.0)
        self._result, self._on_call = UpscaleResult, on_call
        self.calls: list[dict] = []

    def __call__(self, image, *, outscale=None, tile="auto", progress=None, cancel=None):
        self.calls.append({"shape": image.shape, "outscale": outscale, "tile": tile})
        self._on_call(image, cancel)
        if cancel is not None:
            cancel.raise_if_cancelled()
        factor = 4.0 if outscale is None else outscale
        rows = (np.arange(round(image.shape[0] * factor)) / factor).astype(int)
        columns = (np.arange(round(image.shape[1] * factor)) / factor).astype(int)
        return self._result(
            image=np.ascontiguousarray(image[rows][:, columns]), seconds=0.5, peak_memory_bytes=10**9, device="cpu",
            dtype="fp32", tiles=3, fallbacks=("a tile was computed again in fp32",), model=self.model.name,
            outscale=factor,
        )  # fmt: skip


class FakeClipRun:
    """A clip's run on a FakeUpscaler."""

    def __init__(self, upscaler: FakeUpscaler, outscale: float | None) -> None:
        self.outscale = upscaler.model.default_outscale if outscale is None else outscale
        self._upscaler, self._done = upscaler, 0

    def frames(self, frames, *, total=None, progress=None, cancel=None) -> Iterator[np.ndarray]:
        for frame in frames:
            self._done += 1
            yield self._upscaler(frame, outscale=self.outscale, cancel=cancel).image

    def report(self):
        from irss_core.sr.video import ClipReport

        name = self._upscaler.model.name
        return ClipReport(self._done, self._done, 0.5, 10**9, "cpu", "fp32", 1, 0, (), name, self.outscale)


class FakeServices:
    """Hands out FakeUpscalers; ``missing`` names models whose weights cannot be had."""

    def __init__(self, *, on_call=lambda image, cancel: None, missing: str = "") -> None:
        from irss_core.media.images import ImageLimits
        from irss_core.media.video import ClipLimits

        self.image_limits, self.clip_limits = ImageLimits(max_pixels=500_000), ClipLimits()
        self.upscalers: dict[str, FakeUpscaler] = {}
        self._on_call, self._missing = on_call, missing

    def image_upscaler(self, name, *, denoise=None, progress=None, cancel=None):
        if name == self._missing:
            raise WeightsUnavailableError(f"The weights of {name} are nowhere to be had.")
        return self.upscalers.setdefault(name, FakeUpscaler(name, self._on_call))

    def video_upscaler(self, name, *, denoise=None):
        return SimpleNamespace(start=lambda outscale=None: FakeClipRun(self.image_upscaler(name), outscale))

    def add_checkpoint(self, path: Path):
        return SimpleNamespace(name=f"own:{path.stem}", title=path.stem, default_outscale=2.0)


def save_picture(name: str, width: int = 12, height: int = 9, *, color: int = 90, mode: str = "RGB") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), color if mode == "L" else (color,) * len(mode)).save(name)


def save_clip(name: str, *, tenths: tuple[int, ...] = (0, 1, 2), width: int = 16, height: int = 12) -> None:
    """A clip of ever brighter frames shown at these tenths of a second."""
    from irss_core.media.video import ClipWriter

    with ClipWriter(Path(name), width=width, height=height, fps=Fraction(10)) as writer:
        for index, tenth in enumerate(tenths):
            writer.write(np.full((height, width, 3), 40 + 50 * index, np.uint8), Fraction(tenth, 10))


def irss(*arguments: str, services: FakeServices | None = None) -> tuple[int, Screen]:
    """Exit status and screen of a run in this process, on fake models."""
    screen = Screen()
    status = main(arguments, console=screen.console, load_services=lambda settings: services or FakeServices())
    return status, screen


@pytest.mark.usefixtures("here")
class TestUpscale:
    def test_stills_and_clips_are_told_apart_by_content(self):
        save_picture("still.png")
        save_clip("clip.mp4")
        Path("clip.mp4").rename("clip.png")
        services = FakeServices()
        status, screen = irss("upscale", "still.png", "clip.png", "-o", "out", services=services)
        assert status == 0, screen.notes
        assert Image.open("out/still_x4.png").size == (48, 36)
        assert Path("out/clip_x4.mp4").stat().st_size > 0
        assert sorted(services.upscalers) == ["realesrgan-x4plus", "tecogan-x4"]
        assert "2 of 2 done" in screen.results[-1]

    def test_options_reach_the_engine(self):
        save_picture("a.png")
        services = FakeServices()
        status, screen = irss(
            "upscale", "a.png", "-o", "b.jpg", "-m", "bicubic", "-s", "2", "--tile", "32", services=services
        )
        assert status == 0, screen.notes
        assert services.upscalers["bicubic"].calls == [{"shape": (9, 12, 3), "outscale": 2.0, "tile": 32}]
        assert Image.open("b.jpg").size == (24, 18)
        assert Image.open("b.jpg").format == "JPEG"

    def test_the_result_line_has_the_measured_facts(self):
        save_picture("a.png")
        _, screen = irss("upscale", "a.png", "-o", "b.png")
        assert screen.results == [
            "a.png -> b.png: 48x36 in 0.5 s; cpu, fp32, 3 tiles, peak 1.0 GB; a tile was computed again in fp32"
        ]

    def test_bad_files_are_reported_in_one_line_each_and_the_rest_is_done(self):
        save_picture("in/good.png")
        save_picture("in/large.png", 1000, 600)
        Path("in/empty.png").touch()
        Path("in/text.jpg").write_text("not a picture")
        status, screen = irss("upscale", "in", "missing.png", "-o", "out")
        assert status == 1
        assert sorted(path.name for path in Path("out").iterdir()) == ["good_x4.png"]
        assert len(screen.notes) == 4
        assert all(line.startswith("irss: ") for line in screen.notes)
        assert "1 of 5 done" in "\n".join(screen.results)

    def test_one_file_that_breaks_in_the_engine_breaks_alone(self):
        save_picture("a.png", color=1)
        save_picture("b.png", color=2)

        def on_call(image: np.ndarray, cancel: object) -> None:
            if image[0, 0, 0] == 1:
                raise CorruptMediaError("broken")

        status, screen = irss("upscale", "a.png", "b.png", "-o", "out", services=FakeServices(on_call=on_call))
        assert status == 1
        assert screen.notes == ["irss: a.png: broken"]
        assert [path.name for path in Path("out").iterdir()] == ["b_x4.png"]

    def test_nothing_is_overwritten_unless_told_and_no_model_is_loaded_for_nothing(self):
        save_picture("a.png")
        Path("b.png").write_bytes(b"precious")
        services = FakeServices()
        status, screen = irss("upscale", "a.png", "-o", "b.png", services=services)
        assert (status, services.upscalers) == (1, {})
        assert "--overwrite" in screen.notes[0]
        assert Path("b.png").read_bytes() == b"precious"
        assert irss("upscale", "a.png", "-o", "b.png", "--overwrite")[0] == 0
        assert Image.open("b.png").size == (48, 36)

    def test_a_model_that_cannot_be_had_stops_everything_at_once(self):
        save_picture("a.png")
        save_picture("b.png")
        status, screen = irss(
            "upscale", "a.png", "b.png", "-o", "out", services=FakeServices(missing="realesrgan-x4plus")
        )
        assert status == 1
        assert screen.notes == ["irss: The weights of realesrgan-x4plus are nowhere to be had."]

    def test_a_cancelled_batch_ends_with_130_and_no_partial_file(self):
        save_picture("a.png")
        save_picture("b.png")
        services = FakeServices(on_call=lambda image, cancel: cancel.cancel())
        status, screen = irss("upscale", "a.png", "b.png", "-o", "out", services=services)
        assert status == 130
        assert list(Path("out").iterdir()) == []
        assert "0 of 2 done" in screen.notes[-1]

    def test_ones_own_checkpoint_is_a_model(self):
        save_picture("a.png")
        services = FakeServices()
        assert irss("upscale", "a.png", "-o", "out", "--weights", "mine.pth", services=services)[0] == 0
        assert list(services.upscalers) == ["own:mine"]
        assert Path("out/a_x2.png").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-m", "nope"], "no model named 'nope'"),
            (["--denoise", "0.5"], "no denoise strength"),
            (["-m", "bicubic", "--weights", "w.pth"], "together"),
            (["--tile", "big"], "auto"),
            (["--quality", "101"], "--quality"),
            (["--bogus"], "--bogus"),
            (["--dtype", "int8"], "--dtype"),
            (["-s", "0"], "Scale 0"),
            (["-s", "99"], "Scale 99"),
        ],
    )
    def test_wrong_usage_is_one_line_and_status_2(self, arguments, message):
        save_picture("a.png")
        status, screen = irss("upscale", "a.png", "-o", "out", *arguments)
        assert status == 2
        assert len(screen.notes) == 1
        assert screen.notes[0].startswith("irss: ")
        assert message in screen.notes[0]
        assert not Path("out").exists()

    def test_names_of_every_kind(self):
        names = ["ünïcode 写真.png", "with space.png", "new\nline.png", "-dash.png", os.fsdecode(b"caf\xe9.png")]
        for name in names:
            save_picture("plain.png")
            Path("plain.png").rename(name)
        status, screen = irss("upscale", "-o", "out", "--", *names)
        assert status == 0, screen.notes
        assert len(list(Path("out").iterdir())) == len(names)
        assert len(screen.results) == len(names) + 1


@pytest.mark.usefixtures("here")
class TestCompare:
    def test_a_still_becomes_a_sheet_with_every_model(self):
        save_picture("a.png", 20, 10)
        status, screen = irss("compare", "a.png", "-m", "bicubic", "-m", "lanczos", "-o", "sheet.png")
        assert status == 0, screen.notes
        width, height = Image.open("sheet.png").size
        assert width >= 3 * 80
        assert height > 40
        assert screen.results[0].startswith("Title of bicubic: 80x40 in 0.5 s")
        assert screen.results[-1] == "a.png -> sheet.png"

    def test_only_the_region_is_run(self):
        save_picture("a.png", 20, 10)
        services = FakeServices()
        irss("compare", "a.png", "-m", "bicubic", "-m", "lanczos", "--region", "4,2,8,6", services=services)
        assert Path("a_compare.png").exists()
        irss("compare", "a.png", "-m", "bicubic", "-m", "lanczos", "--centre", "4", "--overwrite", services=services)
        assert [call["shape"] for call in services.upscalers["bicubic"].calls] == [(6, 8, 3), (4, 4, 3)]

    def test_a_sheet_nobody_could_look_at_is_refused_before_any_work(self):
        save_picture("a.png", 600, 600)
        services = FakeServices()
        status, screen = irss("compare", "a.png", "-m", "bicubic", "-m", "lanczos", "-s", "16", services=services)
        assert status == 1
        assert "--centre" in screen.notes[0]
        assert not any(upscaler.calls for upscaler in services.upscalers.values())

    @pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
    def test_grey_and_transparent_stills_can_be_shown(self, mode):
        save_picture("a.png", mode=mode)
        status, screen = irss("compare", "a.png", "-m", "bicubic", "-m", "lanczos", "-s", "2.5")
        assert status == 0, screen.notes

    def test_all_models_enlarge_by_the_same_factor(self):
        save_picture("a.png")
        services = FakeServices()
        assert irss("compare", "a.png", "-m", "bicubic", "--weights", "mine.pth", services=services)[0] == 0
        assert {name: upscaler.calls[0]["outscale"] for name, upscaler in services.upscalers.items()} == {
            "bicubic": 4.0, "own:mine": 4.0,
        }  # fmt: skip

    def test_a_clip_becomes_a_clip_frame_for_frame(self):
        from irss_core.media.video import probe_clip, read_frames

        save_clip("a.mp4", tenths=(0, 1, 5, 6, 9))
        status, screen = irss("compare", "a.mp4", "-m", "bicubic", "-m", "lanczos", "-o", "sheet.mp4", "--centre", "8")
        assert status == 0, screen.notes
        frames = list(read_frames(Path("sheet.mp4")))
        assert [float(frame.pts_s) for frame in frames] == pytest.approx([0, 0.1, 0.5, 0.6, 0.9], abs=0.001)
        assert probe_clip(Path("sheet.mp4")).width >= 64
        brightness = [int(frame.pixels[-8, 8, 0]) for frame in frames]
        assert brightness == pytest.approx([40, 90, 140, 190, 240], abs=6)

    def test_a_cancelled_clip_leaves_nothing(self):
        save_clip("a.mp4")
        services = FakeServices(on_call=lambda image, cancel: cancel.cancel())
        assert (
            irss("compare", "a.mp4", "-m", "bicubic", "-m", "lanczos", "-o", "out/sheet.mp4", services=services)[0]
            == 130
        )
        assert list(Path("out").iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (["-m", "bicubic"], 2, "at least two"),
            (["-m", "bicubic", "-m", "bicubic"], 2, "twice"),
            (["-m", "bicubic", "-m", "nope"], 2, "no model named"),
            (["--region", "0,0,99,5"], 2, "reaches beyond"),
            (["--region", "0,0,5,5", "--centre", "5"], 2, "together"),
            (["-o", "sheet.mp4"], 2, "cannot hold"),
            (["-o", "a.png"], 1, "--overwrite"),
            (["-s", "2000"], 2, "2000"),
            (["-s", "nan"], 2, "nan"),
        ],
    )
    def test_what_cannot_be_is_said_in_one_line(self, arguments, status, message):
        save_picture("a.png")
        got, screen = irss("compare", "a.png", *arguments)
        assert got == status
        assert len(screen.notes) == 1
        assert message in screen.notes[0]


@pytest.mark.usefixtures("here")
class TestOtherCommands:
    def test_models_are_listed_from_the_one_table(self):
        status, screen = irss("models")
        assert status == 0
        assert [line.split()[0] for line in screen.results[1:]] == list(MODELS)
        facts = json.loads("\n".join(irss("models", "--json")[1].results))
        assert [fact["name"] for fact in facts] == list(MODELS)
        assert all({"available", "where"} <= set(fact["weights"]) for fact in facts)

    def test_fetching_reports_each_and_fails_alone(self, monkeypatch):
        monkeypatch.setenv("IRSS_OFFLINE", "1")
        status, screen = irss("models", "fetch", "realesrgan-x2plus", "tecogan-x4", "bicubic")
        assert status == 1
        assert screen.notes[0].startswith("irss: realesrgan-x2plus: ")
        assert [line.split(":")[0] for line in screen.results] == ["tecogan-x4", "bicubic"]

    @pytest.mark.parametrize("arguments", [[], ["--all", "bicubic"], ["nope"]])
    def test_fetching_needs_to_know_what(self, arguments):
        assert irss("models", "fetch", *arguments)[0] == 2

    @pytest.mark.parametrize(
        "command",
        ["", "upscale", "compare", "models", "models fetch", "doctor", "bench", "bench speed", "bench votes", "serve"],
    )
    def test_every_level_has_help_and_every_option_a_text(self, command, capsys):
        assert irss(*command.split(), "--help")[0] == 0
        text = capsys.readouterr().out
        assert text.startswith(f"Usage: irss {command}".rstrip())
        entries = re.split(r"\n  (?=-)", text.split("\nOptions:")[1].split("\n\n")[0])[1:]
        assert len(entries) >= 1
        assert all(re.search(r"\s{2,}[A-Z0-9a-z].{5}", entry) for entry in entries), entries

    def test_nothing_to_do_shows_the_help(self, capsys):
        for arguments in ([], ["bench"]):
            assert irss(*arguments)[0] == 2
            assert capsys.readouterr().err.startswith("Usage: irss")

    def test_an_unknown_command_is_named(self):
        status, screen = irss("upscael")
        assert status == 2
        assert "upscael" in screen.notes[0]

    def test_serve_hands_the_settings_to_the_app(self, monkeypatch):
        served = []
        app = SimpleNamespace(serve=lambda settings: served.append(settings) or 3)
        monkeypatch.setitem(__import__("sys").modules, "app", app)
        assert irss("serve", "--port", "8123", "--host", "0.0.0.0")[0] == 3
        assert (served[0].port, served[0].listen_host) == (8123, "0.0.0.0")

    def test_debug_shows_the_traceback_wherever_it_stands(self, capsys):
        for arguments in (
            ["--debug", "upscale", "x.png", "-o", "o", "-m", "no"],
            ["upscale", "x", "-o", "o", "-m", "no", "--debug"],
        ):
            assert irss(*arguments)[0] == 2
            assert "UnknownModelError" in capsys.readouterr().err
        assert irss(*arguments[:-1])[0] == 2
        assert "Traceback" not in capsys.readouterr().err

    def test_bugs_are_not_hidden(self):
        def broken(settings: object) -> None:
            raise ZeroDivisionError

        save_picture("a.png")
        with pytest.raises(ZeroDivisionError):
            main(["upscale", "a.png", "-o", "out"], console=Screen().console, load_services=broken)

    def test_unknown_models_are_wrong_usage(self):
        def refuse(settings: object) -> None:
            raise UnknownModelError("gone")

        save_picture("a.png")
        assert main(["upscale", "a.png", "-o", "out"], console=Screen().console, load_services=refuse) == 2
