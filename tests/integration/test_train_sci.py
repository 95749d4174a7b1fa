"""Training as a user trains: interrupted, resumed, on several processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS

from sci_plugins.apis.config import load_config
from sci_plugins.errors import DataError
from sci_plugins.models.enhancers import SCIEnhancer
from tests.tiny_training import draw_images, make_config, read_state, train

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs' / 'sci').glob('*.py'))


class _Kill(Hook):
    """Ends the run, as a signal would, in the middle of an epoch."""

    priority = 'HIGHEST'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def _by_iterations(config: Config) -> Config:
    config.train_dataloader.sampler.type = 'sci_plugins.SeededInfiniteSampler'
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=8)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=3)
    return config


def _states_differ(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    assert first.keys() == second.keys()
    return [key for key in first if not torch.equal(first[key], second[key])]


@pytest.mark.parametrize(
    ('loop', 'last', 'kill_at', 'workers'),
    [
        ('epochs', 'epoch_4.pth', (3, 5), 0),
        ('iterations', 'iter_8.pth', (4, 7), 2),
        pytest.param('epochs', 'epoch_4.pth', (3, 5), 2, marks=pytest.mark.slow),
        pytest.param('iterations', 'iter_8.pth', (4, 7), 0, marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed_is_uninterrupted_to_the_bit(
    tmp_path: Path, loop: str, last: str, kill_at: tuple[int, ...], workers: int
) -> None:
    """Killed twice, the second time after having been resumed."""
    hooks = [
        dict(type='sci_plugins.ChannelSymmetryHook'),
        dict(type='sci_plugins.EnhancedPicturesHook', count=1),
        dict(type='sci_plugins.ExportEnhancerHook'),
    ]

    def config(work_dir: str, **settings: Any) -> Config:
        made = make_config(tmp_path, work_dir, custom_hooks=hooks, **settings)
        made.train_dataloader.num_workers = workers
        made.train_cfg.max_epochs = 4
        made.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=8)]
        return made if loop == 'epochs' else _by_iterations(made)

    train(config('whole'))
    for resume, iteration in zip((False, True), kill_at, strict=True):
        with pytest.raises(KeyboardInterrupt):
            train(config('parts', resume=resume), _Kill(iteration))
        assert not (tmp_path / 'parts' / last).exists()
    train(config('parts', resume=True))
    whole, parts = (read_state(tmp_path / name / last) for name in ('whole', 'parts'))
    assert len(whole) > 60
    assert _states_differ(whole, parts) == []
    exported = [tmp_path / name / 'enhancer.pth' for name in ('whole', 'parts')]
    assert exported[0].read_bytes() == exported[1].read_bytes()
    other = _states_differ(whole, read_state(next((tmp_path / 'whole').glob('*_[36].pth'))))
    assert len(other) > 30  # the comparison can tell states apart


def test_images_of_several_sizes(tmp_path: Path) -> None:
    images = draw_images(tmp_path / 'images', 3)
    draw_images(images / 'tall', 3, (20, 9))
    whole = {'train_dataloader.dataset.crop_size': None, 'train_dataloader.batch_size': 6}
    with pytest.raises(DataError, match=r'14x12.*9x20|9x20.*14x12'):
        train(make_config(tmp_path, **whole))
    cropped = {'train_dataloader.collate_fn.mixed': 'crop'}
    assert train(make_config(tmp_path, **whole, **cropped)).iter == 3
    assert train(make_config(tmp_path, **whole | {'train_dataloader.batch_size': 1})).iter


def test_mixed_precision_gives_nearly_the_same_loss_and_gradient() -> None:
    """What ``--amp`` does on a GPU; on a CPU autocast takes bfloat16."""
    model = MODELS.build(
        dict(
            type='sci_plugins.SelfCalibratedLearner',
            estimator=dict(type='sci_plugins.SCIEnhancer', weights='sci_plugins/lol'),
            calibrator=dict(type='sci_plugins.SelfCalibrator'),
        )
    )
    images = 0.3 * torch.rand(2, 3, 32, 32)
    totals, gradients = [], []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses = model(images, mode='loss')
        total = sum(losses.values())
        assert total.dtype == torch.float32
        total.backward()
        names = ('estimator.out_conv.weight', 'calibrator.out_conv.weight')
        flat = [model.get_parameter(name).grad.flatten() for name in names]
        totals.append(float(total.detach()))
        gradients.append(torch.cat(flat))
    exact, mixed = gradients
    assert totals[1] == pytest.approx(totals[0], rel=2e-3)
    # The kernels of bfloat16 round at places of their own, 8 bits each: 0.1 to 0.2.
    assert float((mixed - exact).norm() / exact.norm()) < 0.4
    assert not torch.equal(exact, mixed)


def test_there_are_configs() -> None:
    assert {path.stem for path in CONFIGS} > {'sci_code-recipe_lol', 'sci_paper-recipe_lol'}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A step of each recipe, on small images in place of LOL's."""
    data_root = draw_images(tmp_path / 'images', 9, (50, 60))
    config = load_config(str(path))
    config.work_dir = str(tmp_path / 'work')
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.train_dataloader.dataset.data_root = str(data_root)
    length = 'max_epochs' if config.train_cfg.get('by_epoch') else 'max_iters'
    config.train_cfg[length] = 1
    config.log_level = 'ERROR'
    train(config)
    assert len(list((tmp_path / 'work' / 'pictures').iterdir())) == 2
    exported = tmp_path / 'work' / 'enhancer.pth'
    assert exported.stat().st_size < 20_000
    meta = torch.load(exported, weights_only=True)['meta']
    assert meta['type'].startswith('sci_plugins.')
    assert str(tmp_path) not in str(meta)


def test_the_recipes_are_what_they_say() -> None:
    """Learning rate, batch, sigma and epochs as the code and the paper state them."""
    found = {}
    for name in ('code', 'paper'):
        config = load_config(str(ROOT / 'configs' / 'sci' / f'sci_{name}-recipe_lol.py'))
        found[name] = (
            config.optim_wrapper.optimizer.lr,
            config.train_dataloader.batch_size,
            config.model.loss.sigma,
            config.train_cfg.max_epochs,
        )
        assert 'crop_size' not in config.train_dataloader.dataset
        assert config.optim_wrapper.optimizer.weight_decay == 3e-4
        assert config.optim_wrapper.clip_grad.max_norm == 5
        assert (config.model.stages, config.randomness.seed) == (3, 2)
    assert found == dict(code=(3e-4, 1, 10, 1000), paper=(1e-4, 8, 0.1, 1000))


def _torchrun(config: Config, processes: int, path: Path) -> None:
    config.dump(str(path))
    arguments = [str(ROOT / 'tools' / 'train.py'), str(path), '--launcher', 'pytorch']
    launcher = ['-m', 'torch.distributed.run', '--standalone']
    command = [*launcher, f'--nproc-per-node={processes}', *arguments]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    """The same global batch: two gloo processes, and one without any launcher."""
    draw_images(tmp_path / 'images', 8)
    hooks = [
        dict(type='sci_plugins.FrozenNormHook'),
        dict(type='sci_plugins.SkippedImagesHook'),
        dict(type='sci_plugins.ExportEnhancerHook'),
    ]
    (tmp_path / 'images' / '5.png').write_text('no image')
    config = make_config(tmp_path, 'two', custom_hooks=hooks)
    config.log_level = 'WARNING'
    config.train_dataloader.batch_size = 2
    _torchrun(config, 2, tmp_path / 'two.py')
    config = make_config(tmp_path, 'one', custom_hooks=hooks)
    config.train_dataloader.batch_size = 4
    train(config)
    one, two = (read_state(tmp_path / name / 'epoch_3.pth') for name in ('one', 'two'))
    assert one.keys() == two.keys()
    assert float(one['optimizer.0.step']) == 6
    for key, value in one.items():
        if 'optimizer' in key:
            continue
        difference = (value - two[key]).abs().max()
        assert float(difference) <= 1e-6, key
    start = SCIEnhancer().state_dict()
    assert not np.allclose(start['in_conv.weight'], one['estimator.in_conv.weight'])
    log = next((tmp_path / 'two').rglob('*.log')).read_text()
    assert log.count('skipped 1 of 8 images') == 1
