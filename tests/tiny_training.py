"""SCI trained for a moment on a few random images, in this process."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from sci_plugins.utils.checkpoint import read_checkpoint, use_safe_loading

IMAGES = 5


def draw_images(folder: Path, count: int = IMAGES, size: tuple[int, int] = (12, 14)) -> Path:
    """Dark noise, ``0.png`` and so on; ``size`` is (height, width)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 60, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{index}.png')
    return folder


def make_config(tmp_path: Path, work_dir: str = 'work', **settings: Any) -> Config:
    """Three epochs of two steps; ``settings`` are dotted keys."""
    images = tmp_path / 'images'
    if not images.exists():
        draw_images(images)
    config = Config(
        dict(
            default_scope='mmengine',
            model=dict(
                type='sci_plugins.SelfCalibratedLearner',
                estimator=dict(type='sci_plugins.SCIEnhancer'),
                calibrator=dict(type='sci_plugins.SelfCalibrator', channels=4),
            ),
            work_dir=str(tmp_path / work_dir),
            train_dataloader=dict(
                batch_size=3,
                num_workers=0,
                sampler=dict(type='sci_plugins.SeededSampler', shuffle=True),
                collate_fn=dict(type='sci_plugins.stack_images'),
                dataset=dict(
                    type='sci_plugins.LowLightFolder',
                    data_root=str(images),
                    crop_size=8,
                    flip=True,
                    skip_unreadable=True,
                ),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            optim_wrapper=dict(
                optimizer=dict(type='Adam', lr=1e-3, weight_decay=3e-4),
                clip_grad=dict(max_norm=5.0),
            ),
            randomness=dict(seed=5),
            default_hooks=dict(
                checkpoint=dict(
                    type='sci_plugins.AtomicCheckpointHook', interval=1, max_keep_ckpts=2
                )
            ),
            custom_hooks=[],
            log_level='ERROR',
        )
    )
    config.merge_from_dict(settings)
    return config


def make_runner(config: Config) -> Runner:
    """A Runner of its own name: MMEngine keeps loggers by experiment."""
    config.experiment_name = f'{config.work_dir}-{uuid.uuid4()}'
    if config.get('resume'):  # mmengine 0.10.7 leaves its own checkpoints to torch, which refuses
        use_safe_loading()
    return Runner.from_cfg(config)


def train(config: Config, *hooks: Hook) -> Runner:
    runner = make_runner(config)
    for hook in hooks:
        runner.register_hook(hook)
    try:
        runner.train()
    finally:
        # The garbage collector would wait five seconds for each worker of an endless
        # loader, whose queues it may have taken apart before.
        endless = getattr(runner._train_loop, 'dataloader_iterator', None)
        if endless is not None:
            endless._iterator = None
    return runner


def read_state(path: Path) -> dict[str, Any]:
    """Tensors of a checkpoint, of the model and of the optimizer."""
    content = read_checkpoint(path)
    optimizer = content['optimizer']['state']
    return dict(content['state_dict']) | {
        f'optimizer.{index}.{name}': value
        for index, entry in optimizer.items()
        for name, value in entry.items()
    }
