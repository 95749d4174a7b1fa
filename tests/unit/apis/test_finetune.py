"""Fine-tuning: the authors' step, when it stops, and what it writes."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sci_plugins.apis import finetune as module
from sci_plugins.apis.finetune import finetune, has_settled
from sci_plugins.datasets.low_light_folder import to_tensor
from sci_plugins.errors import ConfigError, DataError, TrainingError
from sci_plugins.functional.losses import fidelity_loss, smoothness_loss
from sci_plugins.models.enhancers import RetinexEnhancer, SCIEnhancer, build_enhancer
from sci_plugins.utils.images import read_image
from tests.tiny_training import draw_images


def sci_loss(illumination: Tensor, image: Tensor) -> Tensor:
    """Loss of one stage, with the authors' weights."""
    smoothness = smoothness_loss(illumination, image)
    return 1.5 * fidelity_loss(illumination, image) + smoothness


@pytest.fixture()
def images(tmp_path: Path) -> Path:
    return draw_images(tmp_path / 'images', 2)


def differences(first: nn.Module, second: nn.Module) -> set[str]:
    other = second.state_dict()
    return {k for k, v in first.state_dict().items() if not torch.equal(v, other[k])}


class Own(RetinexEnhancer):
    """A user's: one light for the whole image."""

    def __init__(self, start: float = 0.5) -> None:
        super().__init__()
        self.light = nn.Parameter(torch.tensor(start))

    def estimate_illumination(self, image: Tensor) -> Tensor:
        return self.light.clamp(1e-4, 1).expand_as(image)


def test_an_enhancer_of_one_s_own(tmp_path: Path, images: Path) -> None:
    result = finetune(images, tmp_path / 'a.pth', Own(0.3), steps=2)
    twin = build_enhancer(dict(type=Own, weights=str(tmp_path / 'a.pth')))
    assert isinstance(twin, Own)
    assert float(twin.light) == float(result.enhancer.light) != 0.3


def test_what_cannot_be_saved_is_told_before_the_work(tmp_path: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match='argument start must be plain data'):
        finetune(images, tmp_path / 'a.pth', Own(torch.tensor(0.3)), steps=2)  # type: ignore[arg-type]
    assert not list(tmp_path.glob('a*'))


def test_five_steps_by_hand(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss of one stage, Adam, clipping and BatchNorm as in the authors' code."""
    assert module.MAX_GRADIENT == 5.0
    monkeypatch.setattr(module, 'MAX_GRADIENT', 0.5)  # so that each step is clipped
    start, path = SCIEnhancer(), images / '0.png'
    result = finetune(path, tmp_path / 'a.pth', start, steps=5)
    hand, image = SCIEnhancer(), to_tensor(read_image(path)).unsqueeze(0)
    hand.load_state_dict(start.state_dict())
    optimizer = torch.optim.Adam(hand.parameters(), 5e-4, betas=(0.9, 0.999), weight_decay=3e-4)
    for step in range(5):
        loss = sci_loss(hand.estimate_illumination(image), image)
        assert result.losses[step] == pytest.approx(float(loss.detach()), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        assert float(nn.utils.clip_grad_norm_(hand.parameters(), 0.5)) > 1
        optimizer.step()
    for key, value in hand.state_dict().items():
        if key != 'block_conv.bias':  # before BatchNorm: its gradient is noise
            torch.testing.assert_close(
                result.enhancer.state_dict()[key], value, atol=2e-6, rtol=1e-5
            )
    assert not result.enhancer.training


def test_the_file_and_the_picture(tmp_path: Path, images: Path) -> None:
    start = SCIEnhancer()
    before = {key: value.clone() for key, value in start.state_dict().items()}
    result = finetune(images, tmp_path / 'new' / 'night.pth', start, steps=4)
    path = tmp_path / 'new' / 'night.pth'
    loaded = SCIEnhancer(weights=str(path))
    assert differences(loaded, result.enhancer) == set()
    assert differences(loaded, start)
    assert all(torch.equal(start.state_dict()[key], before[key]) for key in before)
    assert start.training
    meta = torch.load(path, weights_only=True)['meta']
    assert meta['start'] == 'SCIEnhancer'
    assert meta['finetuned']['steps'] == 4
    assert meta['finetuned']['images'] == 2
    assert meta['finetuned']['optimizer']['lr'] == 5e-4
    assert str(tmp_path) not in str(meta)
    with Image.open(tmp_path / 'new' / 'night_before-after.jpg') as sheet:
        assert sheet.width > 3 * 480
        assert sheet.height > 2 * 480 * 12 // 14


def test_it_repeats_itself(tmp_path: Path, images: Path) -> None:
    start = SCIEnhancer()
    options = dict(steps=5, crop_size=8)
    first, again = (finetune(images, tmp_path / n, start, **options) for n in ('a', 'b'))
    other = finetune(images, tmp_path / 'c', start, **options, seed=3)
    assert first.sha256 == again.sha256 != other.sha256


def test_frozen_statistics(tmp_path: Path, images: Path) -> None:
    start = SCIEnhancer()
    result = finetune(images, tmp_path / 'a.pth', start, steps=2, freeze_norm=True)
    changed = differences(start, result.enhancer)
    assert 'block_norm.weight' in changed
    assert not {'block_norm.running_mean', 'block_norm.running_var'} & changed


def test_steps_and_their_default(tmp_path: Path, images: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, 'STEPS', 3)
    monkeypatch.setattr(module, 'MAX_STEPS', 5)
    assert len(finetune(images, tmp_path / 'a', SCIEnhancer()).losses) == 3
    until = finetune(images, tmp_path / 'a', SCIEnhancer(), until=1e-9)
    assert (len(until.losses), until.settled) == (5, False)
    assert (module.LEARNING_RATE, module.WEIGHT_DECAY) == (5e-4, 3e-4)


def test_it_stops_when_the_loss_has_settled(tmp_path: Path, images: Path) -> None:
    result = finetune(images, tmp_path / 'a', SCIEnhancer(), until=0.9)
    assert result.settled
    assert len(result.losses) == 40  # two windows of 20: ten rounds of two images each


def test_settling_is_judged_after_whole_rounds() -> None:
    losses = [1.0] * 42
    assert module._is_settled(losses, 21, 0.1)
    assert not module._is_settled([*losses, 1.0], 21, 0.1)
    assert not module._is_settled(losses[:21], 21, 0.1)
    assert module._is_settled(losses[:41], 1, 0.1)


def test_what_settled_means() -> None:
    falling = [10.0, 8.0, 6.0, 4.0]  # means of two: 9, 5
    assert not has_settled(falling, 2, 0.44)
    assert has_settled(falling, 2, 0.45)
    assert has_settled([99.0, *falling], 2, 0.45)  # older ones do not matter
    assert not has_settled([1.0] * 3, 2, 0.45)
    assert has_settled([1.0, 3.0] * 4, 4, 1e-9)
    assert not has_settled([1.0, 1.0, 2.0, 2.0], 2, 0.9)  # rising is no settling


def test_an_unreadable_image_is_skipped(tmp_path: Path, images: Path) -> None:
    (images / '0.png').write_text('no image')
    result = finetune(images, tmp_path / 'a.pth', SCIEnhancer(), steps=3)
    assert list(result.skipped) == [str(images / '0.png')]
    assert (tmp_path / 'a_before-after.jpg').is_file()


def test_a_loss_that_is_no_number(tmp_path: Path, images: Path) -> None:
    start = SCIEnhancer()
    with torch.no_grad():
        start.out_conv.bias.fill_(math.nan)
    with pytest.raises(TrainingError, match=r'loss is nan, image: .*\.png; nothing was'):
        finetune(images, tmp_path / 'out' / 'a.pth', start)
    assert list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(steps=0), 'steps must be at least 1'),
        (dict(lr=0), 'lr must be a number above 0'),
        (dict(lr=math.nan), 'lr must be a number above 0'),
        (dict(until=-1), 'until must be a number above 0'),
        (dict(device='abacus'), "unknown device 'abacus'"),
        (dict(enhancer='gamma'), 'got GammaEnhancer'),
        (dict(enhancer='unknown'), 'unknown enhancer'),
        (dict(crop_size=2), 'crop_size must be at least 5'),
    ],
)
def test_mistakes(tmp_path: Path, images: Path, options: Any, message: str) -> None:
    options = dict(enhancer=SCIEnhancer()) | options
    with pytest.raises(ConfigError, match=message):
        finetune(images, tmp_path / 'out' / 'a.pth', **options)
    assert not (tmp_path / 'out').exists()


def test_a_folder_to_write_to(tmp_path: Path, images: Path) -> None:
    with pytest.raises(ConfigError, match='is a folder'):
        finetune(images, tmp_path, SCIEnhancer())


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='image folder not found'):
        finetune(tmp_path / 'no', tmp_path / 'a.pth', SCIEnhancer())


@pytest.mark.parametrize(
    ('spec', 'name'),
    [
        ('sci/official/medium', 'official/medium'),
        ('sci/sci_plugins/lol', 'sci_plugins/lol'),
        ('sci//home/me/night.pth', 'night.pth'),
        ("SCIEnhancer(channels=8, weights='/home/me/night.pth')", 'night.pth'),
        (dict(type='sci_plugins.SCIEnhancer', weights='a/b.pth'), 'b.pth'),
        (dict(type='sci_plugins.SCIEnhancer'), 'no weights'),
        (SCIEnhancer(), 'SCIEnhancer'),
    ],
)
def test_the_start_is_named_without_folders(spec: Any, name: str) -> None:
    assert module._name(spec) == name
