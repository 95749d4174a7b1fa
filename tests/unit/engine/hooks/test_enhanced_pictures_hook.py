"""Pictures before and after, of the same images, and the numbers beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sci_plugins.errors import ConfigError, DataError
from tests.tiny_training import make_config, train


def hook(**options: Any) -> list[dict]:
    return [dict(type='sci_plugins.EnhancedPicturesHook', **options)]


def pictures(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / 'work' / 'pictures').iterdir())


def test_one_before_then_every_nth_epoch_and_the_last(tmp_path: Path) -> None:
    train(make_config(tmp_path, custom_hooks=hook(interval=2)))
    assert pictures(tmp_path) == [f'epoch_00000{epoch}.jpg' for epoch in (0, 2, 3)]


def test_iterations(tmp_path: Path) -> None:
    settings = {'train_dataloader.sampler.type': 'sci_plugins.SeededInfiniteSampler'}
    config = make_config(tmp_path, custom_hooks=hook(interval=2, by_epoch=False), **settings)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=5)
    config.default_hooks.checkpoint.by_epoch = False
    train(config)
    assert pictures(tmp_path) == [f'iter_00000{step}.jpg' for step in (0, 2, 4, 5)]


def test_three_columns_and_a_row_an_image(tmp_path: Path) -> None:
    config = make_config(tmp_path, custom_hooks=hook(count=2))
    train(config)
    with Image.open(tmp_path / 'work' / 'pictures' / 'epoch_000003.jpg') as sheet:
        assert sheet.width > 3 * 480
        row = 480 * 12 // 14
        assert 2 * row < sheet.height < 2 * row + 80


def test_numbers_are_logged(tmp_path: Path) -> None:
    train(make_config(tmp_path, custom_hooks=hook(interval=3)))
    (log,) = (tmp_path / 'work').rglob('scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    shown = [line for line in lines if 'pictures/brightness' in line]
    assert [line['step'] for line in shown] == [0, 6]
    for line in shown:
        assert 0.1 < line['pictures/brightness'] < 1  # images of .12, made brighter
        assert 0 <= line['pictures/clipped'] <= 1
        assert line['pictures/cast'] >= 0


def test_training_is_not_disturbed(tmp_path: Path) -> None:
    plain = train(make_config(tmp_path, 'plain'))
    drawn = train(make_config(tmp_path, 'drawn', custom_hooks=hook()))
    assert drawn.model.estimator.training
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, drawn.model.state_dict()[key]), key


def test_images_of_ones_own_and_a_damaged_one(tmp_path: Path) -> None:
    own = tmp_path / 'own'
    own.mkdir()
    Image.fromarray(np.full((8, 1000, 3), 9, np.uint8)).save(own / 'b.png')
    (own / 'a.png').write_text('no image')
    runner = train(
        make_config(tmp_path, custom_hooks=hook(data_root=str(own), count=9, max_size=900))
    )
    found = next(h for h in runner.hooks if type(h).__name__ == 'EnhancedPicturesHook')
    assert list(found._images) == [str(own / 'b.png')]
    assert found._images[str(own / 'b.png')].shape == (1, 3, 7, 900)


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(interval=0), ConfigError, 'interval must be at least 1'),
        (dict(count=0), ConfigError, 'count must be at least 1'),
        (dict(data_root=[]), ConfigError, 'data_root names no folder or file'),
        (dict(module='loss'), ConfigError, "module 'loss'.* to be a BaseEnhancer"),
        (dict(module='nothing'), ConfigError, "has no module 'nothing'"),
        (dict(data_root='/nowhere'), DataError, 'image folder not found'),
    ],
)
def test_mistakes(tmp_path: Path, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        train(make_config(tmp_path, custom_hooks=hook(**options)))


def test_a_training_set_without_files(tmp_path: Path, monkeypatch: Any) -> None:
    from sci_plugins.datasets import LowLightFolder

    init = LowLightFolder.__init__

    def without_files(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.__dict__['paths'] = self.__dict__.pop('files')

    monkeypatch.setattr(LowLightFolder, '__init__', without_files)
    monkeypatch.setattr(LowLightFolder, '__len__', lambda self: 5)
    with pytest.raises(ConfigError, match='set data_root'):
        train(make_config(tmp_path, custom_hooks=hook()))
