"""The adaptive stage: off to the bit, each image by itself, and what its formula says."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.functional.blocking import BlockingEstimate, estimate_blocking
from sci_plugins.functional.low_light import compress_jpeg, darken
from sci_plugins.functional.noise import estimate_noise, shrink_noise
from sci_plugins.models.enhancers import (
    AdaptiveSCIEnhancer,
    SCIEnhancer,
    adaptive,
    build_enhancer,
    save_enhancer,
)
from sci_plugins.models.enhancers.adaptive import Decision
from sci_plugins.models.enhancers.base import arguments_of

ALWAYS_OFF, HALF_OPEN = -20.0, 0.0


def _stage(exponent: float, strength: float, gain: float, **arguments: Any) -> AdaptiveSCIEnhancer:
    """A stage that decides the same for every image, by the values before the sigmoid."""
    torch.manual_seed(0)
    stage = AdaptiveSCIEnhancer(**arguments).eval()
    with torch.no_grad():
        stage.controller.out.weight.zero_()
        stage.controller.out.bias.copy_(torch.tensor([exponent, *[strength] * 4, gain]))
        for parameter in stage.sci.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return stage


def _noisy(seed: int, size: tuple[int, int] = (64, 80), number: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    light = torch.linspace(0.02, 0.3, size[1]).expand(number, 3, *size)
    return (light + 0.01 * torch.randn(light.shape, generator=generator)).clamp(0, 1) ** (1 / 2.2)


@torch.no_grad()
def test_off_gives_the_image_itself() -> None:
    stage, image = _stage(ALWAYS_OFF, ALWAYS_OFF, ALWAYS_OFF), _noisy(0)
    assert stage(image) is image
    assert bool(stage.decide(image).is_off.all())


@torch.no_grad()
def test_off_is_the_identity_beside_images_that_are_not() -> None:
    """Texture is not white: nothing is shrunk, and here that is all there could be."""
    stage = _stage(ALWAYS_OFF, HALF_OPEN, ALWAYS_OFF)
    rows = torch.linspace(0, 12, 64)
    texture = (0.5 + 0.2 * torch.sin(rows)[:, None] * torch.cos(rows)[None]).expand(1, 3, 64, 64)
    images = torch.cat([texture, _noisy(0, (64, 64))])
    assert stage.decide(images).is_off.tolist() == [True, False]
    assert torch.equal(stage(images)[0], texture[0])
    assert not torch.equal(stage(images)[1], images[1])


def test_off_is_the_identity_in_training_too() -> None:
    stage, image = _stage(ALWAYS_OFF, ALWAYS_OFF, ALWAYS_OFF).train(), _noisy(0)
    torch.testing.assert_close(stage(image), image, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('on', [(0, 1, 2), (0,), (1,), (2,), (0, 2)])
def test_the_formula(on: tuple[int, ...]) -> None:
    """Written down again, step by step."""
    stage = _stage(*(HALF_OPEN if each in on else ALWAYS_OFF for each in range(3)))
    image = _noisy(1)
    noise = estimate_noise(image)
    expected = image
    if 1 in on:
        coarse = estimate_noise(F.avg_pool2d(image, 2))
        assert noise.whiteness == coarse.whiteness == 1
        sigma = torch.stack([noise.sigma, *[2 * coarse.sigma] * 3], 1)
        quiet = shrink_noise(image**2, sigma, torch.full((1, 4), 2.0))
        expected = (quiet + 1e-8).sqrt() - 1e-4
    light = torch.ones(1, 1, 1, 1)
    if 0 in on:
        cells = F.adaptive_avg_pool2d(expected, (10, 12))  # 64 x 80: 12 along the longer side
        light = stage.sci.estimate_illumination(cells).amax(1, keepdim=True).log()
        light = light - light.mean()
        light = F.interpolate(light, (64, 80), mode='bilinear').exp()
    # What is not brightened is not evened out.
    exponent, gain = 0.75 * ({0, 2} <= {*on}), torch.tensor(1.5 * (2 in on)).exp()
    expected = (expected * gain / light**exponent).clamp(0, 1)
    torch.testing.assert_close(stage(image), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ('log_gain', 'share'), [(0.0, 0.0), (0.025, 0.25), (0.05, 0.5), (0.2, 1.0)]
)
def test_the_exponent_opens_with_the_gain(log_gain: float, share: float) -> None:
    opened = torch.tensor((log_gain / 3 + 0.05) / 1.1)  # the sigmoid is stretched by .05
    decision = _stage(HALF_OPEN, ALWAYS_OFF, float(opened.logit())).decide(_noisy(1))
    torch.testing.assert_close(decision.gain.log(), torch.tensor([log_gain]), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        decision.exponent, torch.tensor([0.75 * share]), rtol=1e-3, atol=1e-4
    )


@torch.no_grad()
def test_the_average_light_of_regions_stays() -> None:
    light = _stage(HALF_OPEN, ALWAYS_OFF, ALWAYS_OFF, cells=5).regional_light(_noisy(2))
    cells = F.adaptive_avg_pool2d(light, (4, 5))
    assert abs(float(cells.mean())) < 0.02 * float(cells.std())
    assert float(cells.std()) > 0.003


def _blocky(seed: int) -> Tensor:
    """An image of blocks of 8 x 8 pixels, compressed in the dark."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.linspace(0.1, 0.3, 160).expand(1, 3, 128, 160)
    steps = 0.02 * torch.randn(1, 1, 16, 20, generator=generator)
    return light + F.interpolate(steps, scale_factor=8)


@torch.no_grad()
@pytest.mark.parametrize(('gain', 'share'), [(ALWAYS_OFF, 0.0), (HALF_OPEN, 1.0)])
def test_blocks_are_taken_away_where_the_image_is_brightened(gain: float, share: float) -> None:
    stage, image = _stage(ALWAYS_OFF, ALWAYS_OFF, gain), _blocky(0)
    stage.controller.deblocking.copy_(torch.tensor([-20.0, 0.0, 0.0, 20.0]))
    stage.controller.restraining.fill_(ALWAYS_OFF)
    decision = stage.decide(image)
    strengths = [0, 2 * share, 2 * share, 4 * share]
    assert decision.strengths[0].tolist() == pytest.approx(strengths)
    with torch.enable_grad():  # blocks are looked for whatever the gain, and count as by it
        trained = stage.decide(image)
    assert float(trained.blocking.evidence) == float(decision.blocking.evidence) == share
    assert trained.strengths[0].tolist() == pytest.approx(strengths)
    quiet = image
    if share:
        blocks = estimate_blocking(image)
        assert float(blocks.evidence) == 1
        limits = torch.tensor([strengths])
        quiet = (shrink_noise(image**2, blocks.sigma, limits) + 1e-8).sqrt() - 1e-4
    expected = (quiet * decision.gain).clamp(0, 1)
    torch.testing.assert_close(stage(image), expected)


@torch.no_grad()
@pytest.mark.parametrize(('level', 'share'), [(4.0, 1.0), (1.0, 0.55), (0.2, 0.11)])
def test_compressed_noise_restrains_the_gain(level: float, share: float) -> None:
    """By how strong it is beside the light, in full from a tenth of it."""
    stage = _stage(ALWAYS_OFF, ALWAYS_OFF, HALF_OPEN)
    stage.controller.deblocking.fill_(ALWAYS_OFF)
    blocks = 0.02 * torch.randn(1, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    image = 0.2 + level * F.interpolate(blocks, scale_factor=8).expand(1, 3, 128, 160)
    gains = []
    for restraining in (ALWAYS_OFF, HALF_OPEN):
        stage.controller.restraining.fill_(restraining)
        found = stage.decide(image)
        gains.append(float(found.gain.log()))
    assert float(found.blocking.evidence) == 1
    relative = float(found.blocking.sigma / (found.light.mean**2 + 1e-3))
    assert gains[0] == pytest.approx(1.5)
    assert gains[1] == pytest.approx(1.5 * (1 - 0.5 * min(1.0, relative / 0.1)), rel=1e-3)
    assert min(1.0, relative / 0.1) == pytest.approx(share, abs=0.05)


@torch.no_grad()
@pytest.mark.parametrize(
    ('light', 'noise', 'share'), [(0.2, 0.0, 0.0), (0.4, 0.008, 0.5), (0.2, 0.01, 1.0)]
)
def test_caution_leaves_out_gain_in_noise(light: float, noise: float, share: float) -> None:
    """By how strong it is beside the light, in full from a twentieth of it; the rest stays."""
    generator = torch.Generator().manual_seed(0)
    image = (light**2 + noise * torch.randn(1, 3, 128, 160, generator=generator)).clamp(0, 1).sqrt()
    plain, cautious, full = (
        _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN, caution=c).decide(image) for c in (0.0, 0.5, 1.0)
    )
    relative = plain.noise.sigma * plain.noise.whiteness / (plain.light.mean**2 + 1e-3)
    assert float((relative / 0.05).clamp(0, 1)) == pytest.approx(share, abs=0.08)
    assert float(plain.gain.log()) == pytest.approx(1.5)
    held = 0.5 * float((relative / 0.05).clamp(0, 1))
    assert float(cautious.gain.log()) == pytest.approx(1.5 * (1 - held), rel=1e-4)
    assert (float(full.gain) == 1) == (share == 1)
    assert torch.equal(cautious.strengths, plain.strengths)
    assert torch.equal(cautious.gain, plain.gain) == (share == 0)


@torch.no_grad()
@pytest.mark.parametrize(('level', 'expected'), [(4.0, 1.0), (1.5, 0.55), (0.2, 0.0)])
def test_caution_leaves_out_gain_in_compressed_noise(level: float, expected: float) -> None:
    """Beside what the weights leave out, and where there is more than compression alone makes."""
    blocks = 0.02 * torch.randn(1, 1, 16, 20, generator=torch.Generator().manual_seed(0))
    image = 0.2 + level * F.interpolate(blocks, scale_factor=8).expand(1, 3, 128, 160)
    for restraining, rest in ((ALWAYS_OFF, 1.0), (HALF_OPEN, 0.5)):
        stage = _stage(ALWAYS_OFF, ALWAYS_OFF, HALF_OPEN, caution=0.8)
        stage.controller.restraining.fill_(restraining)
        found = stage.decide(image)
        share = float(found.blocking.sigma / (found.light.mean**2 + 1e-3) / 0.1)
        share, evidence = min(1.0, share), float(found.blocking.evidence)
        beyond = max(0.0, (share - 0.6) / 0.4)
        assert evidence == 1
        assert beyond == pytest.approx(expected, abs=0.1)
        kept = (1 - (1 - rest) * share) * (1 - 0.8 * beyond)
        assert float(found.gain.log()) == pytest.approx(1.5 * kept, rel=1e-3)


@pytest.mark.parametrize('caution', [-0.1, 1.1, float('nan'), '0.5', True])
def test_bad_caution(caution: Any) -> None:
    with pytest.raises(ConfigError, match='AdaptiveSCIEnhancer: caution must be'):
        AdaptiveSCIEnhancer(caution=caution)


def test_the_cautious_stage_by_its_name(tmp_path: Path) -> None:
    """The shipped weights or a file's; a file of a cautious stage stays so."""
    stage, plain = build_enhancer('cautious'), build_enhancer('adaptive')
    assert (stage.caution, plain.caution) == (0.5, 0)
    for name, value in plain.state_dict().items():
        assert torch.equal(stage.state_dict()[name], value)
    save_enhancer(stage, tmp_path / 'saved.pth')
    assert build_enhancer(f'adaptive/{tmp_path / "saved.pth"}').caution == 0.5
    save_enhancer(plain, tmp_path / 'plain.pth')
    assert build_enhancer(f'cautious/{tmp_path / "plain.pth"}').caution == 0.5


@pytest.mark.parametrize('around', ['', 'gated/', 'temporal/', 'temporal/gated/'])
def test_a_file_keeps_its_caution(around: str, tmp_path: Path) -> None:
    """However it is named, and in what is saved of it; only a larger one is more cautious."""
    weights = str(tmp_path / 'file.pth')
    save_enhancer(AdaptiveSCIEnhancer(cells=9, caution=0.8), tmp_path / 'inner.pth')
    save_enhancer(build_enhancer(f'{around}adaptive/{tmp_path / "inner.pth"}'), weights)
    config = dict(type='sci_plugins.AdaptiveSCIEnhancer', cells=9, weights=weights)
    names: list = [f'adaptive/{weights}', f'cautious/{weights}', config]
    stages = list(map(build_enhancer, names))
    stages.append(AdaptiveSCIEnhancer(9, weights=weights))
    assert [each.caution for each in stages] == [0.8] * 4
    save_enhancer(stages[-1], weights)
    assert build_enhancer(config).caution == 0.8
    for other in (0, 1, 0.5):
        assert build_enhancer(dict(config, caution=other)).caution == other
        assert AdaptiveSCIEnhancer(9, None, weights, other).caution == other


class _Own(AdaptiveSCIEnhancer):
    def __init__(self, weights: str | None = None) -> None:
        super().__init__(cells=9, weights=weights)


class _InPercent(AdaptiveSCIEnhancer):
    def __init__(self, caution: float = 50, weights: str | None = None) -> None:
        super().__init__(9, None, weights, caution / 100)


class _Any(AdaptiveSCIEnhancer):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)


def test_the_caution_of_subclasses(tmp_path: Path) -> None:
    file, own = str(tmp_path / 'base.pth'), str(tmp_path / 'own.pth')
    save_enhancer(AdaptiveSCIEnhancer(9, caution=0.8), file)
    assert _Own(file).caution == 0.8
    assert arguments_of(_Own(file)) == {}
    save_enhancer(_InPercent(40), own)
    assert arguments_of(_InPercent(40)) == dict(caution=40)
    assert _InPercent(40, own).caution == 0.4
    with pytest.raises(CheckpointError, match=r'own\.pth: .*caution=40'):
        AdaptiveSCIEnhancer(9, weights=own)
    save_enhancer(_Any(cells=9, caution=0.7), own)
    for kind in (AdaptiveSCIEnhancer, _Any):
        assert kind(cells=9, weights=own).caution == 0.7


@torch.no_grad()
def test_blocks_of_an_image_that_is_not_brightened_never_count() -> None:
    """Neither beside a dark one in its batch, nor in training: enlarged noise in blocks."""
    generator, stage = torch.Generator().manual_seed(0), build_enhancer('adaptive').eval()
    for _ in range(4):
        small = (0.4 + 0.04 * torch.randn(1, 3, 64, 80, generator=generator)).clamp(0, 1)
        blocks = torch.randn(1, 1, 16, 20, generator=generator)
        image = F.interpolate(small, scale_factor=2) + 0.05 * F.interpolate(blocks, scale_factor=8)
        dark = 0.03 + 0.01 * torch.randn(1, 3, 128, 160, generator=generator)
        image, dark = image.clamp(0, 1), dark.clamp(0, 1)
        alone = stage(image)
        beside = stage(torch.cat([image, dark]))[:1]
        with torch.enable_grad():
            trained = stage(image).detach()
        torch.testing.assert_close(beside, alone, rtol=0, atol=2e-5)
        torch.testing.assert_close(trained, alone, rtol=0, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize('name', ['adaptive', 'cautious'])
def test_a_saturated_sky(name: str) -> None:
    """A brighter half without a single usable block gave NaN."""
    sky, ground = torch.tensor([0, 0.1, 0.35])[:, None, None], torch.full((3, 90, 320), 0.08)
    image = torch.cat([sky.expand(3, 150, 320), ground], 1)[None]
    generator = torch.Generator().manual_seed(0)
    image = (image + 0.01 * torch.randn(image.shape, generator=generator) * (image > 0)).clamp(0, 1)
    found = build_enhancer(name).eval()(image)
    assert torch.isfinite(found).all()
    assert found.mean() > image.mean()


@torch.no_grad()
def test_of_noise_and_blocks_the_stronger_is_taken_away() -> None:
    stage = _stage(ALWAYS_OFF, HALF_OPEN, HALF_OPEN)
    stage.controller.deblocking.fill_(-0.5)
    noise = 0.001 * torch.randn(1, 3, 128, 160, generator=torch.Generator().manual_seed(0))
    for image in (_blocky(0), _blocky(0) + noise, _noisy(1)):
        found = stage.decide(image)
        against = stage.controller.against_blocks() * found.blocking.evidence
        sensor = torch.stack([found.noise.sigma, *[2 * found.coarse.sigma] * 3], 1)
        white = torch.maximum(found.noise.whiteness, found.coarse.whiteness)
        both = 2 * white * sensor, against * found.blocking.sigma
        torch.testing.assert_close(
            (found.strengths * found.sigma)[:, 1:] / 256, torch.maximum(*both)[:, 1:]
        )


@torch.no_grad()
def test_files_from_before_blocks_were_seen_do_what_they_did(tmp_path: Path) -> None:
    stage = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN)
    stage.controller.deblocking.fill_(ALWAYS_OFF)
    stage.controller.restraining.fill_(ALWAYS_OFF)
    save_enhancer(stage, tmp_path / 'old.pth')
    content = torch.load(tmp_path / 'old.pth', weights_only=True)
    for name in ('deblocking', 'restraining'):
        del content['state_dict'][f'controller.{name}']
    torch.save(content, tmp_path / 'old.pth')
    again = build_enhancer(f'adaptive/{tmp_path / "old.pth"}').eval()
    for image in (_blocky(0), _noisy(1)):
        torch.testing.assert_close(again(image), stage(image), rtol=0, atol=0)
    host = torch.nn.Sequential(torch.nn.Identity(), AdaptiveSCIEnhancer())
    inside = {f'1.{name}': value for name, value in content['state_dict'].items()}
    assert not host.load_state_dict(inside).missing_keys
    torch.testing.assert_close(host.eval()(_blocky(0)), stage(_blocky(0)), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match=r'controller\.deblocking'):  # no stage in the file
        host.load_state_dict({})


@torch.no_grad()
def test_blocks_explain_why_the_finest_noise_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like the noise of an enlarged image was compressed: it is brightened."""
    enhancer = AdaptiveSCIEnhancer(weights='sci_plugins/adaptive').eval()
    generator = np.random.default_rng(0)
    scene = np.kron(generator.integers(40, 220, (12, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    dark = darken(cv2.blur(scene, (9, 9)), 0.05, 0.004, 0, generator)
    image = torch.from_numpy(compress_jpeg(dark, 60)).permute(2, 0, 1)[None] / 255
    found = enhancer.decide(image)
    assert float(found.gain) > 2
    none = BlockingEstimate(torch.zeros(1), torch.zeros(1))
    monkeypatch.setattr(adaptive, 'estimate_blocking', lambda image: none)
    assert float(enhancer.decide(image).gain) < 0.8 * float(found.gain)


def test_a_batch_changes_nothing() -> None:
    torch.manual_seed(3)
    stage = AdaptiveSCIEnhancer().eval()
    torch.nn.init.normal_(stage.controller.out.weight, 0, 2)
    images = torch.cat([_noisy(1), 0.9 * torch.rand(1, 3, 64, 80), _noisy(2) ** 2])
    together = stage(images)
    for index, image in enumerate(images):
        torch.testing.assert_close(together[index], stage(image[None])[0])


@pytest.mark.parametrize('size', [(5, 5), (5, 40), (33, 17), (64, 80)])
def test_any_size(size: tuple[int, int]) -> None:
    stage = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN)
    enhanced = stage(_noisy(0, size))
    assert enhanced.shape == (1, 3, *size)
    assert 0 <= enhanced.min() <= enhanced.max() <= 1


def test_too_small_or_no_image() -> None:
    stage = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN)
    small = torch.rand(1, 3, 4, 9)
    assert stage(small) is small
    with pytest.raises(ValueError, match='expected at least 5 x 5 pixels'):
        stage.decide(small)
    with pytest.raises(ValueError, match=r'expects an RGB image of shape \(N, 3, H, W\)'):
        stage(torch.rand(3, 9, 9))
    assert stage(torch.rand(0, 3, 9, 9)).shape == (0, 3, 9, 9)


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_plain_images(value: float) -> None:
    """Black and white: finite, with finite gradients."""
    image = torch.full((1, 3, 16, 16), value, requires_grad=True)
    stage = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN).train()
    enhanced = stage(image)
    enhanced.sum().backward()
    for tensor in (enhanced, image.grad, *(each.grad for each in stage.parameters())):
        assert bool(torch.isfinite(tensor).all())


def test_every_parameter_learns() -> None:
    stage, image = _stage(HALF_OPEN, HALF_OPEN, -1.0).train(), _noisy(5).requires_grad_()
    torch.nn.init.normal_(stage.controller.out.weight, 0, 0.1)
    ((stage(image) ** 2).sum() + stage(_blocky(0)).sum()).backward()
    for name, parameter in stage.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name
    assert float((image.grad != 0).float().mean()) > 0.95  # type: ignore[union-attr]


def test_parallel_training_finds_every_gradient() -> None:
    """Off for this image; a rank that left parameters out would stop the others."""
    stage = _stage(ALWAYS_OFF, ALWAYS_OFF, ALWAYS_OFF).train()
    stage(_noisy(0)).sum().backward()
    assert all(parameter.grad is not None for parameter in stage.parameters())


def test_norms_keep_their_statistics() -> None:
    stage = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN).train()
    before = stage.sci.block_norm.running_mean.clone()  # type: ignore[union-attr]
    stage(_noisy(1))
    torch.testing.assert_close(stage.sci.block_norm.running_mean, before)


@torch.no_grad()
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    stage, image = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN), _noisy(1)
    if dtype == torch.float64:
        stage = stage.double()
    enhanced = stage(image.to(dtype))
    assert enhanced.dtype == dtype
    torch.testing.assert_close(enhanced.float(), stage.float()(image), rtol=0, atol=0.02)


@torch.no_grad()
def test_amp_computes_in_float32() -> None:
    stage, image = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN), _noisy(1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        enhanced = stage(image)
    torch.testing.assert_close(enhanced, stage(image), rtol=0, atol=0)


def test_decisions_stay_in_their_ranges() -> None:
    torch.manual_seed(0)
    stage = AdaptiveSCIEnhancer()
    torch.nn.init.normal_(stage.controller.out.weight, 0, 20)
    found: Decision = stage.decide(torch.cat([_noisy(1), torch.rand(1, 3, 64, 80)]))
    assert 0 <= found.exponent.min() <= found.exponent.max() <= 1.5
    assert 1 <= found.gain.min() <= found.gain.max() <= 20.1
    assert 0 <= found.strengths.min() <= found.strengths.max() <= 4


def test_a_file_builds_it_again(tmp_path: Path) -> None:
    stage, path = _stage(HALF_OPEN, HALF_OPEN, HALF_OPEN, cells=7), tmp_path / 'tuned.pth'
    save_enhancer(stage, path)
    call = f"AdaptiveSCIEnhancer(cells=7, weights='{path}')"
    for name in (f'adaptive/{path}', f'sci/{path}', call):
        again = build_enhancer(name).eval()
        torch.testing.assert_close(again(_noisy(1)), stage(_noisy(1)), rtol=0, atol=0)


def test_an_illumination_is_not_loaded_twice(tmp_path: Path) -> None:
    """What was tuned afterwards is in the file; the name that it began with is not."""
    sci, path = tmp_path / 'sci.pth', tmp_path / 'tuned.pth'
    save_enhancer(SCIEnhancer(), sci)
    stage = AdaptiveSCIEnhancer(illumination=str(sci))
    torch.nn.init.ones_(stage.sci.out_conv.weight)
    save_enhancer(stage, path)
    sci.unlink()
    again: Any = build_enhancer(f'adaptive/{path}')
    torch.testing.assert_close(again.sci.out_conv.weight, torch.ones(3, 3, 3, 3))


def test_another_enhancers_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'sci.pth'
    save_enhancer(SCIEnhancer(), path)
    with pytest.raises(CheckpointError, match=r'no AdaptiveSCI estimator among its 11 entries'):
        build_enhancer(f'adaptive/{path}')
    with pytest.raises(ConfigError, match='cells must be at least 1, got 0'):
        AdaptiveSCIEnhancer(cells=0)


@torch.no_grad()
def test_images_with_enlarged_noise_stay_as_they_are() -> None:
    """The same dark images, clean, noisy, and noisy and then enlarged: only the last stay dark."""
    enhancer = AdaptiveSCIEnhancer(weights='sci_plugins/adaptive').eval()
    generator = np.random.default_rng(0)
    scene = np.kron(generator.integers(40, 220, (12, 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    cases = [
        (noise, shot, size) for noise, shot in ((0, 0), (0.004, 0), (0, 0.003)) for size in (1, 2)
    ]
    decisions = []
    for noise, shot, size in cases:
        dark = darken(cv2.blur(scene, (9, 9)), 0.05, noise, shot, generator)
        large = cv2.resize(dark, None, fx=size, fy=size)
        image = torch.from_numpy(large).permute(2, 0, 1)[None] / 255
        decisions.append(enhancer.decide(image))
    clean, enlarged, read, hidden_read, shot, hidden_shot = decisions
    assert min(float(each.gain) for each in (clean, enlarged, read, shot)) > 2
    assert bool(hidden_read.is_off and hidden_shot.is_off)
    # Beside fine texture what looks like it is texture too: the image was not enlarged.
    texture = torch.rand(1, 3, 300, image.shape[3], generator=torch.Generator().manual_seed(0)) / 4
    assert float(enhancer.decide(torch.cat([image, texture], 2)).gain) > 2


@torch.no_grad()
@pytest.mark.parametrize('noise', [0.0, 0.002])
@pytest.mark.parametrize('quality', [None, 70])
def test_what_a_pipeline_enlarged_is_seen_as_it_was(noise: float, quality: int | None) -> None:
    """Light, noise and blocks as of the image before, and the result enlarged like the image."""
    enhancer = AdaptiveSCIEnhancer(weights='sci_plugins/adaptive').eval()
    decisions: list[Decision] = []
    enhancer.listeners.append(decisions.append)
    generator = np.random.default_rng(0)
    scene = generator.integers(40, 220, (12, 16, 3)).astype(np.uint8)
    scene = cv2.resize(scene, (256, 192), interpolation=cv2.INTER_CUBIC)
    dark = darken(scene, 0.05, noise, 0, generator)
    dark = dark if quality is None else compress_jpeg(dark, quality)
    before, after = (
        torch.from_numpy(each).permute(2, 0, 1)[None] / 255
        for each in (dark, cv2.resize(dark, (500, 410)))
    )
    wanted = F.interpolate(enhancer(before), (410, 500), mode='bilinear')
    result = enhancer.enhance_enlarged(after, (192, 256), 255)
    own, seen = decisions
    assert float(own.gain) > 1.3
    torch.testing.assert_close(seen.gain, own.gain, rtol=0.02, atol=0)
    torch.testing.assert_close(
        seen.strengths * seen.sigma, own.strengths * own.sigma, rtol=0.1, atol=0.02
    )
    torch.testing.assert_close(seen.blocking.evidence, own.blocking.evidence, rtol=0, atol=0.1)
    assert result.shape == after.shape
    assert (result - wanted).abs().mean() < 0.01
    assert (result - wanted).abs().mean() < 0.1 * (result - after).abs().mean()


@torch.no_grad()
def test_an_enlarged_image_that_needs_nothing_comes_back_to_the_bit() -> None:
    stage, image = _stage(ALWAYS_OFF, ALWAYS_OFF, ALWAYS_OFF), _noisy(0)
    assert stage.enhance_enlarged(image, (32, 40), 255) is image
    stage = _stage(ALWAYS_OFF, HALF_OPEN, HALF_OPEN)
    assert stage.enhance_enlarged(image, (4, 40)) is image  # too small to measure


class _Grey(AdaptiveSCIEnhancer):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image) * 0 + 0.5


def test_an_enlarged_image_takes_the_way_of_any_call() -> None:
    image, seen = torch.rand(1, 3, 24, 32), []
    grey = _Grey(weights='sci_plugins/adaptive').enhance_enlarged(image, (12, 16))
    assert bool((grey == 0.5).all())
    stage = AdaptiveSCIEnhancer(weights='sci_plugins/adaptive')
    stage.register_forward_hook(lambda *_: seen.append(1))
    stage.enhance_enlarged(image, (12, 16), 255)
    assert seen == [1]


def test_weights_of_an_export_are_not_kept() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    from sci_plugins.functional.host_image import undo_enlargement

    with FakeTensorMode():
        undo_enlargement(torch.rand(1, 3, 26, 34), (13, 17))
    assert type(undo_enlargement(torch.rand(1, 3, 26, 34), (13, 17))) is torch.Tensor
    with torch.device('meta'):
        undo_enlargement(torch.rand(1, 3, 27, 35, device='cpu'), (13, 17))
