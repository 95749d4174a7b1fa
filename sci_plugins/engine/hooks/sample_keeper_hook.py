"""Keep a few test images with the model's predictions, for pictures."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.registry import HOOKS
from sci_plugins.utils.model_parts import inner_preprocessor
from sci_plugins.visualization.panels import palette_of


@dataclass
class KeptSample:
    """One test image at the network's scale, and the model's predictions."""

    index: int  # position in the test set
    name: str  # file name of the image
    image: np.ndarray  # RGB, uint8, ``(H, W, 3)``: the input
    enhanced: np.ndarray  # the same after the enhancer; equal to ``image`` without one
    output: Any  # the host's data sample with predictions and, if there is any, ground truth


@HOOKS.register_module()
@dataclass(eq=False)
class SampleKeeperHook(Hook):
    """Keeps the samples at the given positions of the test set.

    Args:
        indices: positions in the test set. Under several processes each keeps what falls to it.
        input_max: white of images that are not uint8.
    """

    priority = 'VERY_LOW'

    indices: Collection[int]
    input_max: float = 255.0

    def __post_init__(self) -> None:
        self.indices = set(self.indices)
        self.samples: dict[int, KeptSample] = {}
        #: RGB colour of each class, where the data set has a palette.
        self.palette: Any = None
        self._seen = 0

    def before_test(self, runner: Runner) -> None:
        self._seen = 0
        self.palette = palette_of(getattr(runner.test_dataloader.dataset, 'metainfo', {}))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Any
    ) -> None:
        for position, output in enumerate(outputs or []):
            # MMEngine's sampler hands out the images round-robin.
            index = (self._seen + position) * get_world_size() + get_rank()
            if index in self.indices:
                found = index, runner.model, data_batch, position, output, self.input_max
                self.samples[index] = keep_sample(*found)
        self._seen += len(outputs or [])


def keep_sample(
    index: int, model: Any, batch: Any, place: int, output: Any, input_max: float = 255.0
) -> KeptSample:
    """Make a :class:`KeptSample`, of a model that may be wrapped and may have an enhancer.

    The batch is as the data loader gives it, its images uint8 or in [0, ``input_max``].
    """
    preprocessor = inner_preprocessor(model)
    image = enhanced = image_at(batch, place)
    if 'views' in batch:  # of RawAndEnhanced
        enhanced = batch['inputs'][1][place]
    elif isinstance(preprocessor, EnhancementMixin):
        with torch.no_grad():
            device: Any = preprocessor.device
            sample = image_at(batch, place, 'data_samples')
            enhanced = preprocessor.enhance_image(image.to(device), sample)
    is_rgb = getattr(preprocessor, 'input_order', 'bgr') == 'rgb'
    name = str(getattr(output, 'img_path', index)).replace('\\', '/').rsplit('/', 1)[-1]
    white = 255.0 if image.dtype == torch.uint8 else input_max
    before, after = (_to_array(each.float() * (255 / white), is_rgb) for each in (image, enhanced))
    return KeptSample(index, name, before, after, output)


def image_at(batch: Any, place: int, key: str = 'inputs') -> Any:
    """The image at a place of a batch; of test-time augmentation the first unflipped view.

    Or with ``'data_samples'`` its sample; ``None`` if there is none.
    """
    views = batch.get(key)
    if views is None or len(views) == 0:
        return None
    if not isinstance(views[0], list | tuple):
        return views[place]
    samples = batch.get('data_samples') or []
    upright = [v for v, each in enumerate(samples) if not each[place].get('flip', False)]
    return views[upright[0] if upright else 0][place]


def _to_array(image: Tensor, is_rgb: bool) -> np.ndarray:
    array = image.clamp(0, 255).cpu().numpy().astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(array if is_rgb else array[..., ::-1])
