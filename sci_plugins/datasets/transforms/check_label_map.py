"""Check label maps as they are loaded, before anything is trained or tested on them."""

from dataclasses import dataclass

import numpy as np
from mmcv.transforms import BaseTransform

from sci_plugins.datasets.night_layouts import UNKNOWN, describe_colours, describe_sizes
from sci_plugins.errors import DataError
from sci_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass(eq=False)
class CheckLabelMap(BaseTransform):
    """Refuse a label map of another size, with colours, or with unknown classes.

    A class that the model does not have crashes training on a GPU without naming a file, and
    mmseg's metric skips it silently. Put this after ``LoadAnnotations``, as our data sets do.

    Required keys are ``gt_seg_map``, ``(H, W)`` uint8, class indices; ``seg_map_path``; and, where
    sizes are to be checked, ``ori_shape``, ``(H, W)`` of the image as loaded.

    Raises:
        DataError: naming the file.
    """

    num_classes: int  # classes are 0 to ``num_classes - 1``
    ignore_index: int = 255  # value of pixels that do not count

    def transform(self, results: dict) -> dict:
        label, path = results['gt_seg_map'], results['seg_map_path']
        if label.ndim != 2:
            raise DataError(describe_colours(path, label.shape))
        shape = tuple(results.get('ori_shape', label.shape))[:2]
        if label.shape != shape:
            raise DataError(describe_sizes(path, label.shape, results.get('img_path'), shape))
        outside = (label >= self.num_classes) & (label != self.ignore_index)
        if outside.any():
            values = np.unique(label[outside]).tolist()
            got = ['a value that no class has' if each == UNKNOWN else str(each) for each in values]
            wish = f'classes 0 to {self.num_classes - 1} or {self.ignore_index} (ignored)'
            raise DataError(f'{path}: expected {wish}, got {", ".join(got)}')
        return results
