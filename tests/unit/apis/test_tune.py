"""Tuning: it learns, resumes to the bit, keeps its best, and does not call harm safe."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sci_plugins.apis import tune as module
from sci_plugins.apis import tune_source
from sci_plugins.apis.tune import GridCell, TuneResult, check_grid, network_teacher, tune
from sci_plugins.datasets.darkened_crops import Batch, DarkenedCrops
from sci_plugins.errors import CheckpointError, ConfigError, DataError, TrainingError
from sci_plugins.functional.blocking import estimate_blocking
from sci_plugins.models.enhancers import (
    AdaptiveSCIEnhancer,
    GammaEnhancer,
    IdentityEnhancer,
    build_enhancer,
)
from sci_plugins.models.teachers import PixelTeacher
from sci_plugins.utils.checkpoint import read_checkpoint
from sci_plugins.utils.files import MARK
from sci_plugins.utils.images import write_image
from tests.host_models import host_config

FAST: dict[str, Any] = dict(batch_size=2, crop_size=32, check_every=2)


@pytest.fixture(autouse=True)
def _few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """To check with: 2 of 12 on the way, and 1 of 4 for a table of 2 conditions, not 15."""
    monkeypatch.setattr(tune_source, '_HELD_OUT_BATCHES', 2)
    monkeypatch.setattr(module, '_BATCHES', 1)
    few_cells = partial(check_grid, gains=(1.0, 0.1), noises=(0.0,), compressed=())
    monkeypatch.setattr(module, 'check_grid', few_cells)


@pytest.fixture()
def photographs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(4):
        small = rng.integers(60, 250, (6, 8, 3)).astype(np.uint8)
        write_image(tmp_path / 'day' / f'{index}.png', small.repeat(10, 0).repeat(10, 1))
    return tmp_path / 'day'


@pytest.fixture()
def stage() -> AdaptiveSCIEnhancer:
    torch.manual_seed(0)
    return AdaptiveSCIEnhancer()


def _state(stage: torch.nn.Module) -> list[Tensor]:
    return list(stage.state_dict().values())


def test_it_learns(
    tmp_path: Path, photographs: Path, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'check_grid', check_grid)
    out = tmp_path / 'tuned.pth'
    result = tune([photographs], out, None, stage, steps=30, **FAST)
    assert len(result.losses) == 30
    assert min(result.held_out.values()) < 0.97 * result.held_out[2]
    again: Any = build_enhancer(f'adaptive/{out}')
    torch.testing.assert_close(_state(again), _state(result.enhancer), rtol=0, atol=0)
    meta = read_checkpoint(out)['meta']
    assert meta['tuned']['steps'] == 30
    assert meta['tuned']['safe'] is result.is_safe
    assert len(meta['tuned']['grid']) == len(result.grid) == 18
    assert out.stat().st_size < 40_000
    assert (tmp_path / 'tuned_progress.jpg').is_file()
    assert not (tmp_path / 'tuned_state.pth').exists()


def test_resumed_to_the_bit(
    tmp_path: Path, photographs: Path, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tune([photographs], tmp_path / 'whole.pth', None, stage, steps=6, **FAST)
    learn = module._Tuning.learn

    def interrupted(self: Any, pairs: Any) -> float:
        if self.step == 5:
            raise KeyboardInterrupt
        return learn(self, pairs)

    monkeypatch.setattr(module._Tuning, 'learn', interrupted)
    out = tmp_path / 'a' / 'part.pth'
    with pytest.raises(KeyboardInterrupt):
        tune([photographs], out, None, stage, steps=6, **FAST)
    assert not out.exists()
    monkeypatch.setattr(module._Tuning, 'learn', learn)
    with pytest.raises(ConfigError, match='was made with other seed, steps: cannot resume'):
        tune([photographs], out, None, stage, steps=8, seed=3, resume=True, **FAST)
    part = tune([photographs], out, None, stage, steps=6, resume=True, **FAST)
    assert part.losses == whole.losses
    assert part.held_out == whole.held_out
    torch.testing.assert_close(_state(part.enhancer), _state(whole.enhancer), rtol=0, atol=0)
    assert part.sha256 == whole.sha256


def test_the_best_on_held_out_crops_is_kept(
    tmp_path: Path, photographs: Path, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tuning stops where nothing better comes."""
    kept = []
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])

    def check(self: Any, batches: Any) -> None:
        value = next(values)
        if value <= min(self.held_out.values(), default=9):
            self.best = copy.deepcopy(self.stage.state_dict())
        self.held_out[self.step] = value
        kept.append(copy.deepcopy(self.stage.state_dict()))

    monkeypatch.setattr(module._Tuning, 'check', check)
    result = tune([photographs], tmp_path / 'a.pth', None, stage, steps=20, patience=3, **FAST)
    assert list(result.held_out) == [0, 2, 4, 6, 8]
    torch.testing.assert_close(dict(result.enhancer.state_dict()), kept[1], rtol=0, atol=0)


def test_a_real_network_and_what_the_file_says_of_it(
    tmp_path: Path, photographs: Path, stage: Any
) -> None:
    _, cfg, _ = host_config('RTMDet')
    from mmengine.registry import MODELS as ROOT_MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    torch.save(ROOT_MODELS.build(cfg.model).state_dict(), tmp_path / 'host.pth')
    teacher, recipe = network_teacher(cfg, str(tmp_path / 'host.pth'))
    out = tmp_path / 'tuned.pth'
    result = tune([photographs], out, teacher, stage, steps=2, recipe=recipe, **FAST)
    assert np.isfinite(result.losses).all()
    meta = read_checkpoint(out)['meta']
    assert meta['teacher'] == 'RTMDet'
    assert meta['host']['checkpoint'] == 'host.pth'
    assert len(meta['host']['checkpoint_sha256']) == 64


def test_harm_costs_more(photographs: Path) -> None:
    """Bright crops through a gamma of 0.5: everything is worse than the raw crop's 0."""
    crops = DarkenedCrops([photographs], crop_size=32, batch_size=3)
    bright = crops.batch(0).bright
    losses = [
        module._Tuning(GammaEnhancer(0.5), PixelTeacher(), 1, weight, torch.device('cpu'))
        for weight in (0.0, 2.0)
    ]
    plain, cautious = (each._loss(Batch(bright, bright)) for each in losses)
    torch.testing.assert_close(cautious, 3 * plain)
    helped = [each._loss(Batch(bright, bright**2)) for each in losses]  # gamma undoes that
    torch.testing.assert_close(*helped)


def test_scis_own_parameters_alone(tmp_path: Path, photographs: Path) -> None:
    result = tune([photographs], tmp_path / 'a.pth', None, 'SCIEnhancer()', steps=4, **FAST)
    assert not torch.equal(_state(result.enhancer)[0], torch.zeros(3, 3, 3, 3))
    assert int(result.enhancer.block_norm.num_batches_tracked) == 0  # type: ignore[union-attr,arg-type]


def test_harm_is_told(photographs: Path) -> None:
    """Gamma brightens by day too; the identity harms nowhere."""
    crops = DarkenedCrops([photographs], crop_size=32, batch_size=4)
    with torch.no_grad():
        cells = check_grid(GammaEnhancer().eval(), PixelTeacher(), crops)
        nothing = check_grid(IdentityEnhancer().eval(), PixelTeacher(), crops)
    harms = {(cell.gain, cell.noise) for cell in cells if cell.harms}
    assert (1.0, 0.0) in harms
    assert (0.02, 0.0) not in harms
    day = next(cell for cell in cells if cell.gain == 1 and cell.noise == 0)
    assert abs(day.raw) < 1e-6 < day.low <= day.tuned <= day.high
    assert not any(cell.harms for cell in nothing)
    assert all(cell.low == cell.high == 0 for cell in nothing)
    result = TuneResult(GammaEnhancer(), grid=cells)
    assert not result.is_safe
    assert result.verdict.startswith('NOT SAFE: worse than the image as it is at gain 1, noise 0')
    assert 'worse' in result.table()
    assert 'safe' in TuneResult(GammaEnhancer(), grid=nothing).verdict


class _BlocksAreBlack(IdentityEnhancer):
    """Harms where an image was compressed."""

    def forward(self, image: Tensor) -> Tensor:
        return image * (estimate_blocking(image).evidence < 1).view(-1, 1, 1, 1)


@torch.no_grad()
def test_harm_to_compressed_images_is_told(tmp_path: Path) -> None:
    small = np.random.default_rng(0).integers(60, 250, (9, 11, 3)).astype(np.uint8)
    write_image(tmp_path / 'day.png', small.repeat(20, 0).repeat(20, 1))
    crops = DarkenedCrops([tmp_path], crop_size=128, batch_size=4)
    conditions = dict(gains=(0.1,), noises=(0.0,), compressed=((0.1, 0.0, 60),))
    cells = check_grid(_BlocksAreBlack().eval(), PixelTeacher(), crops, **conditions)  # type: ignore[arg-type]
    assert [(cell.quality, cell.harms) for cell in cells] == [(None, False), (60, True)]
    result = TuneResult(GammaEnhancer(), grid=cells)
    assert result.verdict.endswith('at gain 0.1, noise 0, JPEG 60')
    assert ' 60 ' in result.table()


def test_a_margin_is_kept() -> None:
    losses = np.stack([np.full(16, 1.0), np.full(16, 1.1)], 1)
    assert module._judge(1, 0, None, losses, margin=0.05).harms
    assert not module._judge(1, 0, None, losses, margin=0.2).harms
    assert module._judge(1, 0, None, losses, 0.2) == GridCell(
        1, 0, 1.0, pytest.approx(1.1), pytest.approx(0.1), pytest.approx(0.1), False  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(steps=0), 'steps must be at least 1, got 0'),
        (dict(batch_size=0), 'batch_size must be at least 1'),
        (dict(crop_size=8), 'crop_size must be at least 32, got 8'),
        (dict(seed=-1), 'seed must be at least 0'),
        (dict(no_harm=-1.0), 'no_harm must be a finite number from 0'),
        (dict(no_harm=float('nan')), 'no_harm must be a finite number from 0'),
        (dict(enhancer='gamma'), 'needs an enhancer with parameters, got GammaEnhancer'),
        (dict(resume=True), 'nothing to resume: there is no'),
    ],
)
def test_bad_options(
    tmp_path: Path, photographs: Path, options: dict[str, Any], words: str
) -> None:
    given = dict(enhancer='AdaptiveSCIEnhancer()') | options
    with pytest.raises(ConfigError, match=words):
        tune([photographs], tmp_path / 'a.pth', **given)  # type: ignore[arg-type]
    assert sorted(tmp_path.iterdir()) == [photographs]


def test_bad_photographs(tmp_path: Path, photographs: Path, stage: Any) -> None:
    with pytest.raises(ConfigError, match='at least 2 images, one of them to check with'):
        tune([photographs / '0.png'], tmp_path / 'a.pth', None, stage)
    with pytest.raises(DataError, match=r'none of 1 images can be used; first: .* than 192'):
        tune([photographs], tmp_path / 'a.pth', None, stage)
    with pytest.raises(DataError, match='image folder not found'):
        tune([tmp_path / 'nowhere'], tmp_path / 'a.pth', None, stage)
    assert not list(tmp_path.glob('a*'))


def test_an_input_is_never_written_over(tmp_path: Path, photographs: Path, stage: Any) -> None:
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r'it is the input|exists and was not written'):
            tune([photographs], photographs / '0.png', None, stage, overwrite=overwrite, **FAST)


def test_a_loss_that_is_not_finite(tmp_path: Path, photographs: Path, stage: Any) -> None:
    class Broken(PixelTeacher):
        def distance(self, seen: Tensor, aim: Tensor) -> Tensor:
            return super().distance(seen, aim) * float('nan')

    with pytest.raises(TrainingError, match='loss is nan at step 0; nothing was written'):
        tune([photographs], tmp_path / 'a.pth', Broken(), stage, **FAST)
    assert not list(tmp_path.glob('a*'))


@pytest.mark.parametrize(
    'damage',
    [
        dict(step='x'),
        dict(step=-2, losses=[]),
        dict(step=10**9),
        dict(losses=['a', 'b']),
        dict(losses=[1.0]),
        dict(held_out=[1]),
        dict(held_out={'a': 1.0}),
        dict(held_out={0: 'x'}),
        dict(best={}),
        dict(stage={'a': 1}),
        dict(optimizer={}),
    ],
    ids=str,
)
def test_a_damaged_state_is_refused(
    tmp_path: Path, photographs: Path, stage: Any, damage: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = module._Tuning.learn

    def interrupted(self: Any, parts: Any) -> float:
        if self.step == 2:
            raise KeyboardInterrupt
        return learn(self, parts)

    monkeypatch.setattr(module._Tuning, 'learn', interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune([photographs], tmp_path / 'a.pth', None, stage, steps=4, **FAST)
    path = tmp_path / 'a_state.pth'
    torch.save(torch.load(path, weights_only=True) | damage, path)
    with pytest.raises(CheckpointError, match=r'a_state\.pth is no state of this tuning') as caught:
        tune([photographs], tmp_path / 'a.pth', None, stage, steps=4, resume=True, **FAST)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'a.pth').exists()


def test_another_state_is_refused(tmp_path: Path, photographs: Path, stage: Any) -> None:
    for content in (dict(written_by=MARK, step=1), [1], 5):
        torch.save(content, tmp_path / 'a_state.pth')
        with pytest.raises(CheckpointError, match=r'a_state\.pth is no state of this tuning'):
            tune(
                [photographs], tmp_path / 'a.pth', None, stage, resume=True, overwrite=True, **FAST
            )


@pytest.mark.parametrize('name', ['a.pth', 'a_state.pth', 'a_progress.jpg'])
def test_resuming_replaces_no_file_of_somebody_else(
    tmp_path: Path, photographs: Path, stage: Any, name: str
) -> None:
    (tmp_path / name).write_text('mine')
    with pytest.raises(ConfigError, match=f'{name} exists and was not written by this package'):
        tune([photographs], tmp_path / 'a.pth', None, stage, resume=True, **FAST)
    assert (tmp_path / name).read_text() == 'mine'
