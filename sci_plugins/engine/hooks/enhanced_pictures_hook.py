"""Sheets of a few images before and after enhancement, written during training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from sci_plugins.datasets.low_light_folder import LowLightFolder, find_images
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.image_quality import clipped_share, color_cast, mean_brightness
from sci_plugins.models.enhancers import BaseEnhancer, RetinexEnhancer
from sci_plugins.registry import HOOKS
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import write_sheet
from sci_plugins.utils.model_parts import find_part
from sci_plugins.visualization.panels import image_cell, make_grid


@HOOKS.register_module()
@dataclass(eq=False)
class EnhancedPicturesHook(Hook):
    """Writes ``pictures/epoch_N.jpg``: fixed images, their enhanced versions, the illumination.

    The first sheet shows the untrained enhancer, the last the trained one, both as at inference.
    Mean brightness, share of clipped pixels and colour cast are logged as scalars ``pictures/…``.

    Args:
        interval, by_epoch: epochs, or else iterations, between sheets.
        data_root: folders or image files; ``None`` takes the training set.
        count: number of images, evenly spaced over those.
        max_size: images whose longer side exceeds this many pixels are shrunk to it.
        module: path of the enhancer inside the model.

    Raises:
        ConfigError: before training, if a number is below 1, there is no such enhancer, or the
            training set has no ``files``.
        DataError: before training, if no image is found.
    """

    priority = 'LOW'

    interval: int = 1
    by_epoch: bool = True
    data_root: PathLike | Sequence[str] | None = None
    count: int = 4
    max_size: int = 640
    module: str = 'estimator'

    def __post_init__(self) -> None:
        check_at_least(1, 'EnhancedPicturesHook', interval=self.interval, count=self.count)
        self._images: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        self._find_enhancer(runner)
        own = getattr(runner.train_dataloader.dataset, 'files', None)
        files = own if self.data_root is None else find_images(self.data_root)
        if not files:
            told = 'data_root names no folder or file'
            if self.data_root is None:
                told = 'set data_root, the training set has no list of files'
            raise ConfigError(f'EnhancedPicturesHook: {told}')
        count = min(self.count, len(files))
        files = [files[index * len(files) // count] for index in range(count)]  # evenly spaced
        data = LowLightFolder(files, max_size=self.max_size, skip_unreadable=True)
        for index in range(len(data)):
            item = data[index]
            # Keyed by path because the next file stands in for an unreadable one: no duplicates.
            self._images[item['data_samples'].img_path] = item['inputs'].unsqueeze(0)
        if runner.iter == 0:
            self._write(runner, 0, 0)

    def after_train_epoch(self, runner: Runner) -> None:
        is_due = self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        if self.by_epoch and is_due:
            self._write(runner, runner.epoch + 1, runner.iter)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        is_due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if not self.by_epoch and is_due:
            self._write(runner, runner.iter + 1, runner.iter + 1)

    def _find_enhancer(self, runner: Runner) -> BaseEnhancer:
        kind: type[BaseEnhancer] = BaseEnhancer  # type: ignore[type-abstract]
        return find_part(runner.model, self.module, kind, 'EnhancedPicturesHook')

    @master_only
    def _write(self, runner: Runner, step: int, iteration: int) -> None:
        enhancer = self._find_enhancer(runner)
        modes = {part: part.training for part in enhancer.modules()}
        enhancer.eval()
        device = next((p.device for p in enhancer.parameters()), torch.device('cpu'))
        with torch.no_grad():
            shown = {k: _enhance(enhancer, image.to(device)) for k, image in self._images.items()}
        for part, mode in modes.items():
            part.training = mode
        rows = [
            [image_cell(f'{Path(path).name}: {column}', value) for column, value in columns.items()]
            for path, columns in shown.items()
        ]
        name = f'{"epoch" if self.by_epoch else "iter"}_{step:06d}.jpg'
        write_sheet(Path(runner.work_dir, 'pictures', name), make_grid(rows))
        runner.visualizer.add_scalars(_statistics(list(shown.values())), step=iteration)


def _enhance(enhancer: BaseEnhancer, image: Tensor) -> dict[str, Tensor]:
    """The cells of one row, each ``(3, H, W)`` in [0, 1]."""
    columns = dict(before=image)
    if isinstance(enhancer, RetinexEnhancer):
        columns['after'], columns['illumination'] = enhancer.illuminate(image)
    else:
        columns['after'] = enhancer(image)
    return {name: value[0].float().cpu() for name, value in columns.items()}


def _statistics(shown: list[dict[str, Tensor]]) -> dict[str, float]:
    pairs = [(columns['before'], columns['after']) for columns in shown]
    values = {
        'brightness': [mean_brightness(after) for _, after in pairs],
        'clipped': [clipped_share(after) for _, after in pairs],
        'cast': [color_cast(before, after) for before, after in pairs],
    }
    return {f'pictures/{name}': float(torch.stack(each).nanmean()) for name, each in values.items()}
