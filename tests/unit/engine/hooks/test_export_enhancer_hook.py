import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers.sci import SCIEnhancer

PLAIN = (bool, int, float, str, type(None))


def make_config(tmp_path, **hook):
    images = tmp_path / 'images'
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 60, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(images / 'a.png')
    return dict(
        model=dict(
            type='sci_plugins.SelfCalibratedLearner',
            estimator=dict(type='sci_plugins.SCIEnhancer', channels=4),
            calibrator=dict(type='sci_plugins.SelfCalibrator', channels=4),
        ),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='sci_plugins.LowLightFolder', data_root=str(images), crop_size=8),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-3, betas=(0.9, 0.99))),
        randomness=dict(seed=5),
        custom_hooks=[dict(type='sci_plugins.ExportEnhancerHook', **hook)],
        experiment_name=tmp_path.name,
    )


def train(config):
    from mmengine.config import Config

    runner = Runner.from_cfg(Config(config))
    runner.train()
    return runner


def leaves(value):
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_writes_the_trained_estimator_and_its_recipe(tmp_path):
    runner = train(make_config(tmp_path, file='night.pth', meta=dict(data=('LOL',), input='dark')))
    path = tmp_path / 'work' / 'night.pth'
    content = torch.load(path, weights_only=True)

    trained = runner.model.estimator.state_dict()
    assert set(content) == {'state_dict', 'meta'}
    assert list(content['state_dict']) == list(trained)
    assert all(torch.equal(content['state_dict'][k], v) for k, v in trained.items())
    loaded = SCIEnhancer(channels=4, weights=str(path))
    assert torch.equal(loaded.in_conv.weight, runner.model.estimator.in_conv.weight)

    meta = content['meta']
    assert (meta['arguments'], meta['steps'], meta['seed']) == (dict(layers=1, channels=4), 2, 5)
    assert meta['type'] == 'sci_plugins.SCIEnhancer'
    assert meta['data'] == ['LOL']
    assert meta['input'] == 'dark'  # what is given wins
    assert meta['training']['optim_wrapper']['optimizer']['lr'] == 1e-3
    assert meta['training']['batch_size'] == 2
    assert meta['training']['dataset']['crop_size'] == 8
    assert meta['versions']['torch'] == str(torch.__version__)
    assert all(type(leaf) in PLAIN for leaf in [*leaves(meta)])
    assert str(tmp_path) not in str(meta)
    assert path.stat().st_size < 10_000


def test_a_model_without_the_module_fails_before_training(tmp_path):
    config = make_config(tmp_path, module='data_preprocessor.enhancer')
    message = "SelfCalibratedLearner has no module 'data_preprocessor.enhancer'"
    with pytest.raises(ConfigError, match=message):
        train(config)
    assert not list((tmp_path / 'work').glob('*.pth'))
