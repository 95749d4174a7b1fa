"""Label maps without an image in a data set of mmseg's own, which leaves them out."""

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from sci_plugins.datasets.night_layouts import FolderPair


def tell_lone_labels(dataset: Any) -> None:
    """Warn of the label maps that a data set in folders does not use.

    mmseg lists the images of a folder and asks for their label maps; an image that is
    missing is not missed. Nothing is said of a set that is chosen by a list, and of
    folders that are not on this machine; the same folders are looked through once.

    Args:
        dataset: any data set, also one with others inside.
    """
    for pair in _folder_pairs(dataset):
        _tell(pair)


@cache  # a comparison loads one set dozens of times
def _tell(pair: FolderPair) -> None:
    alone = pair.labels_without_image(pair.find_images())
    if alone:
        print_log(
            f'{alone[0]}: has no image in {pair.images} ({len(alone)} such label '
            'maps), not used',
            logger='current',
            level=logging.WARNING,
        )


def _folder_pairs(dataset: Any) -> Iterator[FolderPair]:
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
        if inner is not None:
            yield from _folder_pairs(inner)
    prefix = getattr(dataset, 'data_prefix', None) or {}
    images, labels = prefix.get('img_path'), prefix.get('seg_map_path')
    end = getattr(dataset, 'img_suffix', None)
    label_end = getattr(dataset, 'seg_map_suffix', None)
    if images and labels and end and label_end and not getattr(dataset, 'ann_file', ''):
        yield FolderPair(Path(images), Path(labels), end, label_end)
