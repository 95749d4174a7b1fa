"""The images of a test set: their names, and what is true of them."""

from collections import Counter
from os.path import commonpath, relpath
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from sci_plugins.engine.naming_runner import NamingRunner


class ImageSet:
    """Names and truth of a test set, from the data set's own records.

    Args:
        dataset: a data set of MMEngine, or a wrapper of some.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.infos: list[dict] = []
        if hasattr(dataset, 'get_data_info'):
            self.infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self.paths = [str(info.get('img_path', '')) for info in self.infos]
        self.ids = image_ids(self.paths)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        return dict(getattr(self.dataset, 'metainfo', None) or {})

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.metainfo.get('classes') or ())

    @property
    def has_boxes(self) -> bool:
        """Whether there is anything to find: unlabelled sets have no or empty lists."""
        return any(info.get('instances') for info in self.infos)

    def truth(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes ``(G, 4)`` in original pixels, labels ``(G,)``, ignore flags ``(G,)``."""
        instances = self.infos[index].get('instances') or []
        return (
            np.array([each['bbox'] for each in instances], np.float64).reshape(-1, 4),
            np.array([each['bbox_label'] for each in instances], np.int64),
            np.array([each.get('ignore_flag', 0) for each in instances], bool),
        )

    def spread(self, count: int) -> list[int]:
        """Evenly spaced positions, at most ``count``."""
        count = min(count, len(self))
        last = len(self) - 1
        return [round(step * last / max(count - 1, 1)) for step in range(count)]


def build_image_set(cfg: Config) -> ImageSet:
    """The test set of a config; one of several processes may ask for it alone.

    Raises:
        DataError: if it has no images or its annotations cannot be read.
    """
    loader = cfg.test_dataloader.to_dict()
    # A sampler without a seed asks all processes for one.
    loader['sampler'] = dict(type='mmengine.DefaultSampler', shuffle=False, seed=0)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return ImageSet(NamingRunner.build_dataloader(loader).dataset)


def image_ids(paths: list[str]) -> list[str]:
    """Paths below the folder that all are in, without suffix: the same anywhere.

    Where that leaves two alike, the suffix stays, and a file that comes again has
    ``#2`` behind it.
    """
    if not (paths and all(paths)):
        return [f'{number:06d}' for number in range(len(paths))]
    folder = commonpath([str(Path(path).parent) for path in paths])
    names = [Path(relpath(path, folder)) for path in paths]
    short = [name.with_suffix('').as_posix() for name in names]
    if len(set(short)) == len(short):
        return short
    seen: Counter[str] = Counter()
    result = []
    for name in map(Path.as_posix, names):
        seen[name] += 1
        result.append(name if seen[name] == 1 else f'{name}#{seen[name]}')
    return result
