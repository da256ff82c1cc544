"""The recipe on tiny networks and made material: every stage, going on exactly, stopping, what is left behind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from irss_core.cli.console import Console
from irss_core.cli.root import main
from irss_core.errors import (
    CancelledError,
    InputError,
    InvalidOptionError,
    OutputExistsError,
    UnsupportedCheckpointError,
    WeightsCorruptError,
)
from irss_core.metrics.lpips_networks import TRUNKS, FeatureNetwork
from irss_core.metrics.perceptual import Lpips
from irss_core.metrics.perceptual_weights import LpipsWeights
from irss_core.progress import CancelToken
from irss_core.train import journal
from irss_core.train.checkpoint import MAX_FILE_BYTES, Checkpoint, export, load_latest, load_start, save_checkpoint
from irss_core.train.config import STAGES, Stage, TrainConfig
from irss_core.train.loop import Outcome, TrainLoop
from irss_core.train.perceptual import PerceptualLoss
from irss_core.train.recipe import StageRequest, starting_point, train_stage
from irss_core.train.stages import Rollout, optical_flow_loss, unroll, warp_loss
from irss_core.train.trainer import Trainer, learning_rate_share
from irss_core.train.validation import Validation
from tests.made_sets import clip, scene, write
from vendor.tecogan.generator import FRNet

SHIPPED = Path(__file__).parents[2] / "vendor" / "tecogan" / "weights" / "tecogan-x4-v2.safetensors"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class MadeBatch:
    hr: Tensor
    lr: Tensor


class Noise:
    """Batches of noise that lives for a while, out of one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def batch(self) -> MadeBatch:
        still = torch.rand(2, 1, 3, 64, 64, generator=self._generator)
        hr = (still + 0.1 * torch.rand(2, 3, 3, 64, 64, generator=self._generator)).clamp(0, 1)
        return MadeBatch(hr, hr[..., ::4, ::4].contiguous())


def tiny(stage: Stage, **changes: Any) -> TrainConfig:
    config = replace(
        TrainConfig.for_device(stage, "cpu"),
        batch=2, frames=3, size_lr=16, blocks=1, log_every=1, max_iterations=4, warmup_iterations=0,
    )  # fmt: skip
    config = config.without_loss("perceptual") if stage == "tecogan" else config
    return replace(config, **changes)


def loop(config: TrainConfig, out: Path, **options: Any) -> TrainLoop:
    generator = torch.Generator().manual_seed(config.seed)
    return TrainLoop(Trainer(config, device=CPU), Noise(generator), generator, out=out, **options)


def left_in(out: Path) -> Checkpoint:
    found = load_latest(out)
    assert found is not None
    return found


def random_lpips() -> LpipsWeights:
    """Weights of LPIPS with SqueezeNet that mean nothing."""
    trunk = TRUNKS["squeeze"]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        backbone = {name: each.clone() for name, each in FeatureNetwork(trunk).state_dict().items()}
        heads = tuple(torch.rand(channels) for channels in trunk.channels)
    return LpipsWeights(backbone, heads, "made", ("0" * 64,))


# -- going on ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_resumed_run_takes_the_very_steps_of_one_that_was_never_stopped(stage: Stage, tmp_path: Path) -> None:
    loop(tiny(stage), tmp_path / "whole").run()

    stopped = CancelToken()
    part = loop(
        tiny(stage),
        tmp_path / "parts",
        cancel=stopped,
        progress=lambda each: stopped.cancel() if each.done == 2 else None,
    )
    with pytest.raises(CancelledError, match="after iteration 2"):
        part.run()
    outcome = loop(tiny(stage), tmp_path / "parts").run()

    assert (outcome.iteration, outcome.complete) == (4, True)
    whole, parts = left_in(tmp_path / "whole"), left_in(tmp_path / "parts")
    assert whole.tensors.keys() == parts.tensors.keys()
    different = [name for name in whole.tensors if not torch.equal(whole.tensors[name], parts.tensors[name])]
    assert different == []
    assert whole.numbers["trainer"] == parts.numbers["trainer"]
    logs = [journal.read(tmp_path / name / journal.TRAINING) for name in ("whole", "parts")]
    assert [{**line, "seconds": 0} for line in logs[0]] == [{**line, "seconds": 0} for line in logs[1]]
    assert [line["iteration"] for line in logs[1]] == [1, 2, 3, 4]


def test_what_was_logged_after_the_checkpoint_is_logged_once(tmp_path: Path) -> None:
    loop(tiny("frvsr", max_iterations=2), tmp_path).run()
    journal.append(tmp_path / journal.TRAINING, {"iteration": 3, "total": 9.0})  # and then the machine went down
    with (tmp_path / journal.TRAINING).open("a") as stream:
        stream.write('{"iteration": 4, "tot')
    loop(tiny("frvsr"), tmp_path).run()
    assert [line["iteration"] for line in journal.read(tmp_path / journal.TRAINING)] == [1, 2, 3, 4]


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint({"a": torch.ones(2)}, {"n": 1}), iteration=1)
    broken = tmp_path / ".checkpoint-0000002.part"
    broken.mkdir()
    (broken / "tensors-0.safetensors").write_bytes(b"half")
    assert left_in(tmp_path).numbers == {"n": 1}
    save_checkpoint(tmp_path, Checkpoint({"a": torch.zeros(2)}, {"n": 2}), iteration=2)
    assert left_in(tmp_path).numbers == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-0000002"]


def test_checkpoints_come_in_files_that_can_be_carried(tmp_path: Path) -> None:
    tensors = {f"t{index}": torch.full((1_000_000,), float(index)) for index in range(9)}  # 4 MB each
    folder = save_checkpoint(tmp_path, Checkpoint(tensors, {}), iteration=1)
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert len(sizes) == 3
    assert max(sizes) < MAX_FILE_BYTES + 100_000
    found = left_in(tmp_path).tensors
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_damaged_checkpoint_says_so(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, Checkpoint({"a": torch.ones(2)}, {}), iteration=1)
    (folder / "tensors-0.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(WeightsCorruptError, match="checkpoint-0000001 is damaged"):
        load_latest(tmp_path)


def test_another_run_s_folder_is_refused(tmp_path: Path) -> None:
    loop(tiny("frvsr", max_iterations=1), tmp_path).run()
    with pytest.raises(OutputExistsError, match="seed 1 there and 2 now"):
        loop(tiny("frvsr", seed=2), tmp_path)
    assert loop(tiny("frvsr", max_iterations=2, checkpoint_every_minutes=1.0), tmp_path).run().iteration == 2


# -- stopping ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "best"), [("frvsr", 2), ("tecogan", 3)])
def test_the_best_of_the_measured_weights_are_kept(stage: Stage, best: int, tmp_path: Path) -> None:
    values = iter([{"psnr_y": 24.0, "lpips_squeeze": 0.30}, {"psnr_y": 25.0, "lpips_squeeze": 0.31},
                   {"psnr_y": 23.0, "lpips_squeeze": 0.20}, {"psnr_y": 24.5, "lpips_squeeze": 0.25}])  # fmt: skip
    measured: list[bytes] = []

    def measure(checkpoint: Path, _folder: Path) -> dict[str, float]:
        measured.append(checkpoint.read_bytes())
        return next(values)

    loop(tiny(stage, validate_every_minutes=0.0), tmp_path, validate=measure).run()
    assert len(set(measured)) == 4
    assert (tmp_path / "best.safetensors").read_bytes() == measured[best - 1]
    assert [line["iteration"] for line in journal.read(tmp_path / journal.VALIDATION)] == [1, 2, 3, 4]


def ticking(step_s: float) -> Callable[[], float]:
    now = iter(step_s * tick for tick in range(10**6))
    return lambda: next(now)


def test_a_call_stops_before_its_time_is_over_and_can_be_gone_on_from(tmp_path: Path) -> None:
    config = tiny("frvsr", max_iterations=1000, checkpoint_every_minutes=100.0)
    outcome = loop(config, tmp_path, clock=ticking(1.0), deadline_s=20.0).run()
    assert not outcome.complete
    assert 3 < outcome.iteration < 20
    assert left_in(tmp_path).numbers["trainer"]["iteration"] == outcome.iteration
    assert outcome.result.exists()


def test_the_stage_ends_when_its_minutes_are_over(tmp_path: Path) -> None:
    config = tiny("frvsr", max_iterations=None, total_minutes=0.1)  # six seconds, an iteration takes one tick
    outcome = loop(config, tmp_path, clock=ticking(2.0)).run()
    assert (outcome.iteration, outcome.complete) == (3, True)
    rates = [line["learning_rate"] for line in journal.read(tmp_path / journal.TRAINING)]
    assert rates == sorted(rates, reverse=True)


def test_progress_counts_iterations_and_knows_the_time_left(tmp_path: Path) -> None:
    seen: list[Any] = []
    loop(tiny("frvsr"), tmp_path, progress=seen.append).run()
    assert [(each.done, each.total, each.unit) for each in seen] == [(n, 4, "iterations") for n in (1, 2, 3, 4)]
    assert all(each.remaining_s is not None for each in seen)


# -- a step ------------------------------------------------------------------------------------------------------------


def test_unrolling_is_stepping() -> None:
    torch.manual_seed(1)
    network = FRNet(blocks=1)
    lr = torch.rand(2, 4, 3, 16, 24)
    made = unroll(network, lr)
    state = None
    for index in range(4):
        output, state = network.step(lr[:, index], state)
        assert float((output - made.frames[:, index]).detach().abs().max()) < 1e-5
    back = network.flow(lr[:, 1], lr[:, 2])
    assert float((back - made.flows_lr[:, 1]).detach().abs().max()) < 1e-5


def changed(trainer: Trainer, prefix: str, before: dict[str, Tensor]) -> bool:
    now = trainer.tensors()
    return any(not torch.equal(now[name], each) for name, each in before.items() if name.startswith(prefix))


@pytest.mark.parametrize(("threshold", "learns"), [(10.0, True), (-10.0, False)])
def test_the_discriminator_learns_only_while_it_is_not_too_strong(threshold: float, learns: bool) -> None:
    trainer = Trainer(tiny("tecogan", balance_threshold=threshold, warmup_iterations=0), device=CPU)
    before = {name: each.clone() for name, each in trainer.tensors().items()}
    logged = trainer.step(Noise(torch.Generator().manual_seed(1)).batch(), progress=0.0)
    assert changed(trainer, "discriminator/", before) is learns
    assert changed(trainer, "generator/", before)
    assert logged["discriminator_learns"] == float(learns)


def test_the_discriminator_s_loss_does_not_move_the_generator() -> None:
    """One trainer's discriminator learns, the other one's does not: their generators take the same step."""
    trainers = [Trainer(tiny("tecogan", balance_threshold=threshold), device=CPU) for threshold in (10.0, -10.0)]
    norms = [each.step(Noise(torch.Generator().manual_seed(1)).batch(), progress=0.0)["grad_norm"] for each in trainers]
    assert norms[0] == norms[1]
    alike = trainers[1].tensors()
    assert not changed(trainers[0], "generator/", alike)
    assert changed(trainers[0], "discriminator/", alike)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_term_is_logged_by_name_and_finite(precision: Any) -> None:
    config = TrainConfig.for_device("tecogan", "cpu")
    config = replace(config, blocks=1, precision=precision, warmup_iterations=0)
    trainer = Trainer(config, device=CPU, perceptual=PerceptualLoss("squeeze", random_lpips()))
    source = Noise(torch.Generator().manual_seed(1))
    for _ in range(2):
        logged = trainer.step(source.batch(), progress=0.0)
    assert set(config.loss_weights) < set(logged)
    weighted = sum(weight * logged[name] for name, weight in config.loss_weights.items())
    assert logged["total"] == pytest.approx(weighted, rel=1e-4)
    assert all(np.isfinite(value) for value in logged.values())


def test_fp16_scales_the_loss_up_for_its_gradients_and_back_for_the_step() -> None:
    chance = torch.Generator().manual_seed(1)
    batch = MadeBatch(*(torch.rand(1, 2, 3, side, side, generator=chance) for side in (64, 16)))
    norms = [
        Trainer(tiny("frvsr", precision=precision), device=CPU).step(batch, progress=0.0)["grad_norm"]
        for precision in ("fp32", "fp16")
    ]
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_a_training_whose_gradients_stay_broken_fails_instead_of_going_on() -> None:
    trainer = Trainer(tiny("frvsr"), device=CPU)
    before = {name: each.clone() for name, each in trainer.tensors().items()}
    broken = MadeBatch(torch.full((1, 2, 3, 32, 32), float("nan")), torch.rand(1, 2, 3, 8, 8))
    trainer.step(broken, progress=0.0)
    assert not changed(trainer, "generator/", before)  # such a step is left out
    for _ in range(48):
        trainer.step(broken, progress=0.0)
    with pytest.raises(InputError, match="not been finite for 50 iterations"):
        trainer.step(broken, progress=0.0)


def test_the_averaged_weights_follow_the_trained_ones(tmp_path: Path) -> None:
    trainer = Trainer(tiny("frvsr", ema_decay=0.999), device=CPU)
    name = "srnet.conv_out.weight"
    first = trainer.averaged_weights()[name].clone()
    trainer.step(Noise(torch.Generator().manual_seed(1)).batch(), progress=0.0)
    now = trainer.network.state_dict()[name]
    expected = first + (1 - 0.1) * (now - first)  # with so few steps the decay is 1/10
    assert torch.allclose(trainer.averaged_weights()[name], expected, atol=1e-7)


def test_the_learning_rate_rises_then_falls_as_a_cosine() -> None:
    config = tiny("frvsr", warmup_iterations=10, last_rate_share=0.1)
    assert learning_rate_share(config, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate_share(config, 50, 0.5) == pytest.approx(0.55)
    assert learning_rate_share(config, 50, 1.0) == pytest.approx(0.1)


def test_the_motion_estimator_learns_at_its_share_of_the_rate() -> None:
    trainer = Trainer(tiny("frvsr", motion_rate_share=0.1, weight_decay=0.0), device=CPU)
    before = {name: each.clone() for name, each in trainer.network.state_dict().items()}
    trainer.step(Noise(torch.Generator().manual_seed(1)).batch(), progress=0.0)
    # AdamW's first step is as long as the rate, whatever the gradient.
    moved = {name: float((each - before[name]).abs().max()) for name, each in trainer.network.state_dict().items()}
    motion = max(step for name, step in moved.items() if name.startswith("fnet."))
    picture = max(step for name, step in moved.items() if name.startswith("srnet."))
    assert motion == pytest.approx(0.1 * picture, rel=0.01)


def test_the_motion_stage_trains_the_motion_estimator_and_nothing_else() -> None:
    trainer = Trainer(tiny("motion"), device=CPU)
    before = {name: each.clone() for name, each in trainer.network.state_dict().items()}
    logged = trainer.step(Noise(torch.Generator().manual_seed(1)).batch(), progress=0.0)
    moved = {name for name, each in trainer.network.state_dict().items() if not torch.equal(each, before[name])}
    assert moved == {name for name in before if name.startswith("fnet.")}
    assert {"warp", "warp_hr", "motion"} <= set(logged)


def test_the_warp_loss_is_least_for_the_true_motion() -> None:
    first = torch.full((1, 1, 3, 8, 12), 0.5)
    first[..., 4:8] = torch.rand(1, 1, 3, 8, 4, generator=torch.Generator().manual_seed(1))
    frames = torch.cat((first, first.roll(2, -1)), 1)  # to the right, so the way back leads to the left
    network = FRNet(blocks=1)
    by_shift = {
        x: float(warp_loss(network, frames, torch.tensor([x, 0.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 8, 12)))
        for x in (-3.0, -2.0, 0.0, 2.0)
    }
    assert by_shift[-2.0] == pytest.approx(1e-3, rel=0.01)  # the Charbonnier loss of no difference
    assert min(by_shift[x] for x in (-3.0, 0.0, 2.0)) > 0.05


def test_the_optical_flow_loss_minds_how_the_picture_moves_and_not_what_it_shows() -> None:
    network = FRNet(blocks=1)
    texture, other = (_texture(seed) for seed in (1, 2))
    still = torch.zeros(1, 1, 2, 40, 40)

    def loss(made: Tensor, truth: Tensor) -> float:
        return float(optical_flow_loss(network, Rollout(made, still, still), truth))

    truth = _shown(texture, 0.0, 0.5)
    assert loss(truth, truth) == pytest.approx(0.01)
    assert loss(_shown(other, 0.0, 0.5), truth) < 0.06
    assert loss(_shown(texture, 0.0, -0.5), truth) == pytest.approx(0.8, abs=0.1)  # one step finds 4/5 of the 1 pixel
    assert loss(_shown(texture, 0.0, 0.0), truth) == pytest.approx(0.4, abs=0.05)


def _texture(seed: int) -> Tensor:
    noise = torch.rand(1, 1, 60, 60, generator=torch.Generator().manual_seed(seed)).expand(1, 3, 60, 60)
    return F.interpolate(F.avg_pool2d(noise, 5, 1), scale_factor=10, mode="bicubic")


def _shown(texture: Tensor, *shifts: float) -> Tensor:
    """Return 1xTx3x40x40: a tenth of the texture, so many pixels further right in each frame."""
    starts = [80 - round(10 * shift) for shift in shifts]
    return torch.stack([texture[..., 80:480:10, start : start + 400 : 10] for start in starts], 1)


def test_the_perceptual_loss_is_the_metric_and_reaches_the_picture() -> None:
    weights = random_lpips()
    generator = np.random.default_rng(1)
    a, b = (generator.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(2))
    made, truth = (torch.tensor(each).permute(2, 0, 1)[None].float() / 255 for each in (a, b))
    made.requires_grad_(True)
    loss = PerceptualLoss("squeeze", weights)(made, truth)
    assert float(loss.detach()) == pytest.approx(Lpips("squeeze", weights, device="cpu")(a, b), rel=1e-3)
    loss.backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0


# -- the configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_configuration_survives_json(stage: Stage, device: str) -> None:
    config = replace(TrainConfig.for_device(stage, device, precision="bf16", seed=7), total_minutes=12.5)
    assert TrainConfig.from_json(config.to_json()) == config


def test_any_knob_can_be_set_by_name() -> None:
    config = TrainConfig.for_device("tecogan", "cpu")
    assert config.with_knob("batch=8").batch == 8
    assert config.with_knob("max_iterations=none").max_iterations is None
    assert config.with_knob("compile=true").compile
    assert config.with_knob("loss_weights.adversarial=0.5").loss_weights == {**config.loss_weights, "adversarial": 0.5}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("batch", "'batch'"),
        ("bach=3", "'bach=3'"),
        ("batch=three", "of the kind int"),
        ("batch=0", "at least 1"),
        ("loss_weights=1", "'loss_weights=1'"),
        ("loss_weights.vgg=1", "no loss 'vgg'"),
        ("size_lr=20", "multiple of 8"),
        ("stage=gan", "frvsr, tecogan"),
    ],
)
def test_an_impossible_setting_is_named(text: str, named: str) -> None:
    with pytest.raises(InvalidOptionError, match=named):
        TrainConfig.for_device("tecogan", "cpu").with_knob(text)


# -- what is left behind -----------------------------------------------------------------------------------------------


def test_the_exported_weights_have_the_keys_of_the_published_layout_and_load_both_ways(tmp_path: Path) -> None:
    trainer = Trainer(tiny("frvsr", blocks=10), device=CPU)
    export(trainer.averaged_weights(), tmp_path / "weights.safetensors")
    ours, shipped = load_file(tmp_path / "weights.safetensors"), load_file(SHIPPED)
    assert {name: each.shape for name, each in ours.items()} == {name: each.shape for name, each in shipped.items()}
    assert {each.dtype for each in ours.values()} == {torch.float16}
    FRNet(blocks=10).load_state_dict(ours, strict=True)
    trainer.network.load_state_dict(shipped, strict=True)
    again = load_start(tmp_path / "weights.safetensors").state_dict()
    assert all(torch.equal(again[name], each.float()) for name, each in ours.items())


def test_only_the_network_of_the_recipe_can_be_gone_on_from(tmp_path: Path) -> None:
    export(FRNet(blocks=1, degradation="BI").state_dict(), tmp_path / "bi.safetensors")
    with pytest.raises(UnsupportedCheckpointError, match="kind BD"):
        load_start(tmp_path / "bi.safetensors")


def test_stage_2_begins_with_what_stage_1_left(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="--start"):
        starting_point("tecogan", tmp_path, None)
    left = tmp_path / "frvsr" / "weights.safetensors"
    left.parent.mkdir()
    left.touch()
    assert starting_point("tecogan", tmp_path, None) == left
    assert starting_point("tecogan", tmp_path, SHIPPED) == SHIPPED
    assert starting_point("frvsr", tmp_path, None) is None


def test_stage_1_begins_with_the_motion_estimator_that_was_trained_before_it(tmp_path: Path) -> None:
    left = tmp_path / "motion" / "weights.safetensors"
    left.parent.mkdir()
    left.touch()
    assert starting_point("frvsr", tmp_path, None) == left
    assert starting_point("frvsr", tmp_path, SHIPPED) == SHIPPED
    assert starting_point("motion", tmp_path, None) is None


def trained(out: Path, config: TrainConfig, notes: list[str], **changes: Any) -> Outcome:
    request = StageRequest(
        config=config,
        out=out,
        make_source=lambda _config, generator: Noise(generator),
        sources=(("a.webp", "CC0-1.0", "here"), ("b.webp", "CC0-1.0", "there"), ("c.mp4", "BSD-3", "elsewhere")),
        device="cpu",
        command="irss train tecogan",
        **changes,
    )
    return train_stage(request, note=notes.append)


def test_the_card_says_what_the_weights_are_made_of_and_how_good_they_are(tmp_path: Path) -> None:
    clip(tmp_path / "set" / "walk", 7, height=128, width=128)

    def no_network(need: str) -> Any:
        raise InputError(f"{need} is not here.")

    config = replace(
        TrainConfig.for_device("tecogan", "cpu"), blocks=1, max_iterations=2, log_every=1, batch=2, frames=3
    )
    notes: list[str] = []
    validation = Validation(tmp_path / "set", tmp_path / "cache", no_network, device="cpu", dtype="fp32")
    outcome = trained(tmp_path / "out", config, notes, validation=validation)
    assert outcome.complete
    assert sum("without the perceptual loss" in note for note in notes) == 1
    card = (tmp_path / "out" / "card.md").read_text()
    for words in (
        "| CC0-1.0 | 2 |", "| BSD-3 | 1 |", "| seed | 1 |", "| iterations | 2 |", "| command | `irss train tecogan` |",
        "| feature_space | 0.01 |", "PSNR-Y (dB), higher is better", "tOF (px), lower is better", "| bicubic | ",
        "| after 2 iterations", "## Known limits", "there was no perceptual loss", "random weights",
    ):  # fmt: skip
        assert words in card, card
    [measured] = journal.read(tmp_path / "out" / journal.VALIDATION)
    assert {"psnr_y", "tof"} < set(measured)
    assert "lpips_squeeze" not in measured
    assert (tmp_path / "out" / "training.svg").read_text().lstrip().startswith("<?xml")
    assert "c.mp4\tBSD-3\telsewhere" in (tmp_path / "out" / "data.tsv").read_text()


def test_a_call_that_finds_the_stage_finished_changes_nothing_of_the_result(tmp_path: Path) -> None:
    config = tiny("frvsr", max_iterations=1)
    first = trained(tmp_path, config, [])
    weights = first.result.read_bytes()
    assert trained(tmp_path, config, []) == first
    assert first.result.read_bytes() == weights


def test_one_command_trains_all_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IRSS_OFFLINE", "1")
    for index in range(3):
        write(tmp_path / "photos" / f"{index}.png", scene(160, 200, seed=index))
    out, err = io.StringIO(), io.StringIO()
    command = [
        "train", "tecogan", "--photos", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--device", "cpu",
        "--dtype", "fp32", "--max-iterations", "2", "--set", "blocks=1", "--set", "size_lr=16", "--set", "frames=3",
        "--set", "batch=2",
    ]  # fmt: skip
    status = main(command, console=Console(out, err))
    assert status == 0, err.getvalue()
    assert out.getvalue().count("2 iterations, finished") == 3
    card = (tmp_path / "out" / "tecogan" / "card.md").read_text()
    assert "| began with | weights.safetensors |" in card
    assert "| command | `irss train tecogan --photos " in card
    assert json.loads((tmp_path / "out" / "frvsr" / "config.json").read_text())["blocks"] == 1
    assert main([*command, "--seed", "2"], console=Console(out, err)) == 1
    assert "seed 1 there and 2 now" in err.getvalue()
