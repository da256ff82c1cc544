"""Loss terms against values computed by hand, and the balance that lets the discriminator learn or not."""

from __future__ import annotations

import math

import pytest
import torch

from vendor.tecogan.losses import (
    DiscriminatorBalance,
    adversarial_loss,
    balance,
    charbonnier,
    discriminator_loss,
    feature_space_loss,
    optical_flow,
    ping_pong_loss,
)


def test_charbonnier_is_the_mean_of_the_rounded_off_distance() -> None:
    a, b = torch.tensor([0.0, 0.3, 0.5]), torch.tensor([0.0, 0.7, 0.5])
    expected = (0.1 + math.sqrt(0.4**2 + 0.1**2) + 0.1) / 3
    assert float(charbonnier(a, b, epsilon=0.1)) == pytest.approx(expected, rel=1e-6)


def test_losses_of_half_precision_tensors_are_summed_in_float32() -> None:
    a = torch.full((4096,), 0.5, dtype=torch.bfloat16)
    loss = charbonnier(a, torch.zeros_like(a), epsilon=0.0)
    assert loss.dtype == torch.float32
    assert float(loss) == 0.5


def test_ping_pong_compares_the_two_visits_to_each_frame() -> None:
    #                      0    1    2    1'   0'
    frames = torch.tensor([0.1, 0.2, 0.9, 0.5, 0.2]).view(1, 5, 1, 1, 1)
    assert float(ping_pong_loss(frames)) == pytest.approx((0.1 + 0.3) / 2, rel=1e-5)


def test_ping_pong_is_zero_for_a_symmetric_sequence_whatever_its_turning_point() -> None:
    half = torch.rand(2, 3, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    frames = torch.cat((half, torch.rand(2, 1, 3, 4, 5), half.flip(1)), 1)
    assert float(ping_pong_loss(frames)) == 0.0
    frames[0, 6] += 0.25  # the second visit to frame 0 of one sequence: a sixth of all
    assert float(ping_pong_loss(frames)) == pytest.approx(0.25 / 6, rel=1e-5)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_ping_pong_refuses_a_sequence_that_was_not_played_back(length: int) -> None:
    with pytest.raises(ValueError, match=f"not {length}"):
        ping_pong_loss(torch.zeros(1, length, 3, 2, 2))


def test_optical_flow_finds_how_far_waves_have_come_and_nothing_where_nothing_is_seen() -> None:
    x, y = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")

    def waves(right: float, down: float) -> torch.Tensor:
        picture = 0.5 + 0.25 * (0.4 * (x - right)).sin() + 0.25 * (0.4 * (y - down)).sin()
        return picture.view(1, 1, 64, 64)

    flow = optical_flow(waves(0, 0), waves(0.5, -0.25))
    assert flow.shape == (1, 2, 12, 12)
    # Slopes by central differences are 3 % too small, the pull towards 0 takes 2 %.
    assert float(flow[:, 0].mean()) == pytest.approx(0.5, rel=0.05)
    assert float(flow[:, 1].mean()) == pytest.approx(-0.25, rel=0.05)
    assert float(optical_flow(torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)).abs().max()) == 0.0


def test_adversarial_losses_are_the_vanilla_ones() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    p_real = [1 / (1 + math.exp(-x)) for x in real.tolist()]
    p_fake = [1 / (1 + math.exp(-x)) for x in fake.tolist()]
    generator = -sum(math.log(p) for p in p_fake) / 2
    discriminator = -sum(math.log(p) for p in p_real) / 2 - sum(math.log(1 - p) for p in p_fake) / 2
    strength = sum(math.log(p) for p in p_real) / 2 - sum(math.log(p) for p in p_fake) / 2
    assert float(adversarial_loss(fake)) == pytest.approx(generator, rel=1e-5)
    assert float(discriminator_loss(real, fake)) == pytest.approx(discriminator, rel=1e-5)
    assert float(balance(real, fake)) == pytest.approx(strength, rel=1e-5)


def test_the_losses_stay_finite_for_a_discriminator_that_is_sure() -> None:
    assert float(adversarial_loss(torch.tensor([-500.0]))) == 500.0


def test_feature_space_sums_channels_averages_pixels_and_divides_by_the_norm() -> None:
    real = [torch.zeros(1, 2, 1, 2), torch.zeros(1, 1, 1, 1)]
    fake = [torch.tensor([[[[1.0, 2.0]], [[3.0, -4.0]]]]), torch.tensor([[[[8.0]]]])]
    # pixels of the first layer: 1 + 3 and 2 + 4; their mean is 5
    assert float(feature_space_loss(real, fake, norms=(2.0, 4.0))) == pytest.approx(5 / 2 + 8 / 4)


def test_only_the_generated_features_learn() -> None:
    real = [torch.ones(1, 1, 1, 1, requires_grad=True)]
    fake = [torch.zeros(1, 1, 1, 1, requires_grad=True)]
    feature_space_loss(real, fake, norms=(4.0,)).backward()
    assert real[0].grad is None
    assert fake[0].grad is not None
    assert float(fake[0].grad) == -0.25


def test_the_discriminator_learns_only_while_its_average_balance_is_low() -> None:
    held = DiscriminatorBalance(threshold=0.4, decay=0.5)
    assert held.allows(0.6)  # average 0.3
    assert not held.allows(0.6)  # 0.45
    assert held.average == pytest.approx(0.45)
    assert not held.allows(0.4)  # 0.425
    assert held.allows(0.1)  # 0.2625


def test_the_balance_goes_on_from_a_stored_average() -> None:
    held = DiscriminatorBalance(threshold=0.4, decay=0.5, average=0.7)
    assert not held.allows(0.2)  # 0.45
