"""Quality metrics: other libraries' numbers, and MMEngine's protocol."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sci_plugins import registry
from sci_plugins.datasets.low_light_folder import make_sample
from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.evaluation.metrics import ImageQualityMetric
from sci_plugins.functional.image_quality import to_levels

NAMES = ('PSNR', 'SSIM', 'EME', 'DiscreteEntropy', 'LOE', 'Brightness')


def build(name: str) -> ImageQualityMetric:
    return METRICS.build(dict(type=f'sci_plugins.{name}'))


def levels(image: torch.Tensor) -> np.ndarray:
    return (to_levels(image) / 255).permute(1, 2, 0).double().numpy()


@pytest.fixture()
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    reference = torch.rand(3, 24, 30)
    return (reference + 0.1 * torch.randn(3, 24, 30)).clamp(0, 1), reference


def test_psnr_by_another_library(pair: Any) -> None:
    enhanced, reference = pair
    wanted = peak_signal_noise_ratio(levels(reference), levels(enhanced), data_range=1)
    value = build('PSNR').score(enhanced, reference, reference)
    assert value == pytest.approx(wanted, rel=1e-5)


def test_ssim_by_another_library(pair: Any) -> None:
    """It leaves out five pixels at the border, which are added by reflection here."""
    enhanced, reference = pair
    wanted = structural_similarity(
        *(np.pad(levels(x), ((5, 5), (5, 5), (0, 0)), 'reflect') for x in pair),
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    value = build('SSIM').score(enhanced, reference, reference)
    assert value == pytest.approx(wanted, abs=1e-5)


def test_images_are_judged_as_they_are_saved(pair: Any) -> None:
    _, reference = pair
    reference = to_levels(reference) / 255
    within_a_level = reference + 0.9 / 255 * torch.rand_like(reference)
    for name in NAMES:
        metric = build(name)
        value = metric.score(within_a_level.clamp(max=1), reference, reference)
        assert value == metric.score(reference, reference, reference), name


def test_perfect_scores(pair: Any) -> None:
    _, image = pair
    assert build('PSNR').score(image, image, image) == math.inf
    assert build('SSIM').score(image, image, image) == pytest.approx(1)
    assert build('LOE').score(image, image) == 0
    half = torch.full((3, 9, 9), 0.5)
    assert build('Brightness').score(half, image) == pytest.approx(127 / 255)


def _batch(images: int = 3) -> tuple[dict[str, Any], torch.Tensor]:
    inputs, references = torch.rand(2, images, 3, 16, 20)
    samples = [make_sample(Path(f'{i}.png'), each) for i, each in enumerate(references)]
    return dict(inputs=0.2 * inputs, data_samples=samples), 0.7 * inputs


def test_the_evaluator_gives_means_over_images() -> None:
    evaluator = Evaluator([dict(type=f'sci_plugins.{name}') for name in NAMES])
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(2):
        batch, outputs = _batch()
        evaluator.process(data_samples=outputs, data_batch=batch)
        for name in NAMES:
            scores[name] += [
                build(name).score(out, image, sample.reference)
                for out, image, sample in zip(
                    outputs, batch['inputs'], batch['data_samples'], strict=True
                )
            ]
    results = evaluator.evaluate(6)
    assert set(results) == {
        'quality/PSNR_range1_dB',
        'quality/SSIM_gauss11_sigma1.5_range1',
        'quality/EME_8x8_ln',
        'quality/entropy_gray256_bits',
        'quality/LOE_side50',
        'quality/brightness',
    }
    for name in NAMES:
        value = results[f'quality/{build(name).key}']
        assert value == pytest.approx(sum(scores[name]) / 6), name


@pytest.mark.parametrize('name', ['PSNR', 'SSIM'])
def test_no_reference(name: str) -> None:
    image = torch.rand(3, 16, 16)
    with pytest.raises(ConfigError, match=f'{name} needs a reference image'):
        build(name).score(image, image)
    batch, outputs = _batch(1)
    batch['data_samples'] = [make_sample(Path('0.png'))]
    with pytest.raises(ConfigError, match='PairedLowLightDataset'):
        build(name).process(batch, outputs)


@pytest.mark.parametrize('name', ['PSNR', 'SSIM'])
def test_without_torchmetrics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda _: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "sci_plugins\[train\]'):
        build(name)
    assert build('EME')
