"""Steady along time: what is smoothed, what starts anew, what stays to the bit."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import sci_plugins
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import BaseEnhancer, TemporalEnhancer, build_enhancer

NAMES = ('exposure/0.4', 'adaptive', 'gated/sci/sci_plugins/lol', 'sci/sci_plugins/lol')


def scene(seed: int = 0, height: int = 48, width: int = 64) -> Tensor:
    cells = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(cells, (height, width), mode='bilinear') * 0.9


def film(brightness: list[float], seed: int = 0) -> Tensor:
    return torch.cat([scene(seed) * value for value in brightness])


def lamp(brightness: list[float], rest: float = 0.2) -> Tensor:
    """The left two fifths in light that changes, the rest as it is: no change of the whole."""
    frames = film([rest] * len(brightness))
    frames[..., :26] *= torch.tensor(brightness)[:, None, None, None]
    return frames


@torch.no_grad()
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('temporal', ['none', 'gain', 'full'])
def test_the_first_frame_is_the_enhancers_own(name: str, temporal: Any) -> None:
    frame = scene() * 0.1
    torch.testing.assert_close(
        TemporalEnhancer(name, temporal)(frame), build_enhancer(name).eval()(frame)
    )


@torch.no_grad()
def test_none_treats_each_frame_by_itself() -> None:
    frames = film([0.05, 0.2, 0.1])
    own = build_enhancer('exposure/0.4')(frames)
    assert torch.equal(TemporalEnhancer('exposure/0.4', 'none')(frames), own)


@torch.no_grad()
def test_the_gain_follows_a_lamp_with_its_time_constant() -> None:
    frames = lamp([1.0] * 3 + [3.0] * 11)
    own = build_enhancer('exposure/0.2')
    out = TemporalEnhancer(own, 'gain', seconds=0.5, fps=20)(frames)
    gains = (out / frames).flatten(1).median(1).values
    before, after = own.decide(frames)[[0, -1]]
    expected = [after + (before - after) * math.exp(-k / 10) for k in range(1, 12)]
    torch.testing.assert_close(gains[3:], torch.stack(expected), rtol=1e-4, atol=0)


@torch.no_grad()
def test_light_that_changes_as_a_whole_is_followed_at_once() -> None:
    frames = film([0.2] * 3 + [0.1] * 3)
    stage, own = TemporalEnhancer('exposure/0.2'), build_enhancer('exposure/0.2')
    torch.testing.assert_close(stage(frames), own(frames), rtol=0.01, atol=0)


@torch.no_grad()
def test_noise_in_a_decision_changes_nothing() -> None:
    frames = film([0.2, 0.202, 0.198, 0.201])
    gains = (TemporalEnhancer('exposure/0.2')(frames) / frames).flatten(1).median(1).values
    torch.testing.assert_close(gains, gains[:1].expand(4), rtol=1e-5, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('temporal', ['gain', 'full'])
@pytest.mark.parametrize('name', ['exposure/0.2', 'gated/sci/sci_plugins/lol'])
def test_by_day_the_stage_comes_to_be_off_to_the_bit(name: str, temporal: Any) -> None:
    stage = TemporalEnhancer(name, temporal, seconds=0.2)
    frames = lamp([0.1] * 5 + [2.0] * 60, rest=0.5)
    out = stage(frames)
    assert not torch.equal(out[6], frames[6])
    assert torch.equal(out[-1], frames[-1])


@torch.no_grad()
@pytest.mark.parametrize('temporal', ['gain', 'full'])
@pytest.mark.parametrize('name', NAMES)
def test_no_frame_to_come_is_used(name: str, temporal: Any) -> None:
    frames = film([0.05, 0.07, 0.06, 0.1])
    together = TemporalEnhancer(name, temporal)(frames)
    stage = TemporalEnhancer(name, temporal)
    one_by_one = torch.cat([stage(frame[None]) for frame in frames])
    assert torch.equal(together, one_by_one)
    assert torch.equal(together[:2], TemporalEnhancer(name, temporal)(frames[:2]))


@torch.no_grad()
@pytest.mark.parametrize('temporal', ['gain', 'full'])
def test_a_cut_starts_anew_and_light_that_changes_is_none(temporal: Any) -> None:
    stage = TemporalEnhancer('exposure/0.4', temporal)
    stage(film([0.05, 0.4, 0.1]))
    assert stage.cuts == 0
    new = scene(seed=7) * torch.linspace(0.02, 1, 64)
    assert torch.equal(stage(new), build_enhancer('exposure/0.4')(new))
    assert stage.cuts == 1


@torch.no_grad()
def test_another_frame_size_starts_anew() -> None:
    stage = TemporalEnhancer('sci/sci_plugins/lol', 'full')
    stage(scene() * 0.1)
    other = scene(height=32) * 0.1
    torch.testing.assert_close(stage(other), build_enhancer('sci/sci_plugins/lol').eval()(other))


@torch.no_grad()
def test_noise_is_averaged_where_nothing_moved_and_light_that_changes_is_followed() -> None:
    """Of a still picture; a part that turns bright is followed at once."""
    noise = 0.004 * torch.randn(40, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    frames = (scene() * 0.1 + noise).clamp(0, 1)
    frames[-1] *= 0.7
    frames[-1, :, 20:40, 20:40] = 0.9
    own = build_enhancer('sci/sci_plugins/lol').eval()
    steady, alone = TemporalEnhancer(own, 'full')(frames), own(frames)
    assert steady[10:-1].std(0).mean() < 0.5 * alone[10:-1].std(0).mean()
    exact = own((scene() * 0.07).expand(1, -1, -1, -1))[0]
    moved = (slice(None), slice(25, 35), slice(25, 35))
    torch.testing.assert_close(steady[-1][moved], alone[-1][moved], rtol=0, atol=0.02)
    still = (slice(None), slice(0, 14))
    noise_left = (steady[-1] - exact)[still].abs().mean() / (alone[-1] - exact)[still].abs().mean()
    assert noise_left < 0.7


@torch.no_grad()
@pytest.mark.parametrize('temporal', ['gain', 'full'])
@pytest.mark.parametrize('name', NAMES)
def test_a_stream_goes_on_from_its_state(name: str, temporal: Any) -> None:
    frames = film([0.05, 0.07, 0.2, 0.1, 0.03])
    whole = TemporalEnhancer(name, temporal)
    expected = whole(frames)
    first, second = TemporalEnhancer(name, temporal), TemporalEnhancer(name, temporal)
    first(frames[:2])
    second.resume_stream(first.stream_state())
    assert torch.equal(second(frames[2:]), expected[2:])
    whole.reset()
    assert torch.equal(whole(frames), expected)


class Lifting(BaseEnhancer):
    """A user's own, which decides what it adds."""

    def decide(self, image: Tensor) -> Tensor:
        return 1 - image.amax((1, 2, 3))

    def carry_out(self, image: Tensor, decision: Tensor) -> Tensor:
        return image + decision

    def forward(self, image: Tensor) -> Tensor:
        return self.carry_out(image, self.decide(image))


@torch.no_grad()
def test_an_own_enhancers_decision_is_smoothed() -> None:
    frames = lamp([1.0, 4.0])
    stage = TemporalEnhancer(Lifting(), fps=2)
    added = (stage(frames) - frames).mean((1, 2, 3))
    own = Lifting().decide(frames)
    keep = math.exp(-1)
    torch.testing.assert_close(added, torch.stack([own[0], own[1] + keep * (own[0] - own[1])]))


@torch.no_grad()
def test_a_decision_may_be_a_plain_tuple() -> None:
    class Pair(Lifting):
        def decide(self, image: Tensor) -> Any:
            return super().decide(image), image.mean((1, 2, 3))

        def carry_out(self, image: Tensor, decision: Any) -> Tensor:
            return super().carry_out(image, decision[0])

    frames = lamp([1.0, 4.0])
    assert torch.equal(TemporalEnhancer(Pair())(frames), TemporalEnhancer(Lifting())(frames))


def test_gradients_flow_within_a_frame() -> None:
    frames = film([0.05, 0.08]).requires_grad_()
    TemporalEnhancer('adaptive', 'full')(frames)[1].sum().backward()
    assert frames.grad is not None
    assert frames.grad[1].abs().sum() > 0
    assert frames.grad[0].abs().sum() == 0


@torch.no_grad()
def test_in_a_detectors_slot_the_images_of_a_batch_are_frames() -> None:
    stage = sci_plugins.EnhancementStage('temporal/exposure/0.4', input_max=255.0)
    frames = film([0.05, 0.1, 0.02])
    own = TemporalEnhancer('exposure/0.4')
    torch.testing.assert_close(stage(frames * 255), own(frames) * 255, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(temporal='always'), "temporal must be one of none, gain, full; got 'always'"),
        (dict(seconds=-1.0), 'TemporalEnhancer: seconds must be at least 0, got -1'),
        (dict(fps=0.0), 'TemporalEnhancer: fps must be at least 0.001, got 0'),
    ],
)
def test_bad_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TemporalEnhancer('none', **arguments)
    with pytest.raises(ConfigError, match="'temporal' needs another enhancer"):
        build_enhancer('temporal')


@torch.no_grad()
def test_noise_that_comes_later_is_taken_out_too() -> None:
    """Weak noise is a small number: it is no reason to stay with the clean frames' decision."""
    enhancer, generator = build_enhancer('temporal/adaptive').eval(), torch.Generator()
    generator.manual_seed(0)
    light = torch.rand(1, 3, 5, 6, generator=generator)
    light = 0.05 * F.interpolate(light, (120, 160), mode='bilinear') ** 2.2
    results = []
    for index in range(30):
        noise = torch.randn(light.shape, generator=generator) * (0.0009 if index > 4 else 0)
        frame = (light + noise).clamp(0, 1) ** (1 / 2.2)
        results.append(enhancer(frame))
    alone = build_enhancer('adaptive').eval()(frame)
    assert float((results[-1] - alone).abs().mean()) < 0.02
    rough, wanted = ((each - F.avg_pool2d(each, 3, 1, 1)).std() for each in (results[-1], alone))
    assert float(rough) < 1.2 * float(wanted)


@torch.no_grad()
def test_an_averaged_picture_is_decided_on_as_its_frames_come() -> None:
    """The average has less noise where nothing moved: what moves would keep its own."""
    streams = [TemporalEnhancer('adaptive', temporal).eval() for temporal in ('gain', 'full')]
    generator = torch.Generator().manual_seed(0)
    light = 0.05 * torch.rand(1, 3, 5, 6, generator=generator) ** 2.2
    light = F.interpolate(light, (120, 160), mode='bilinear')
    for _ in range(12):
        noise = 0.003 * torch.randn(light.shape, generator=generator)
        frame = (light + noise).clamp(0, 1) ** (1 / 2.2)
        pair = [stream.step(frame) for stream in streams]
    gain, full = (stream.stream_state() for stream in streams)
    decided = [name for name in gain if name.startswith('decision')]
    assert decided
    for name in decided:
        assert all(map(torch.equal, gain[name], full[name])), name
    rough = [float((each - F.avg_pool2d(each, 3, 1, 1)).std()) for each in pair]
    assert rough[1] < rough[0]
