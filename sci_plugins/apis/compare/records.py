"""From the results of a run to records, and to files of them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sci_plugins.apis.compare.about import identity_of
from sci_plugins.engine.hooks import ImageResult, ImageResultsHook
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.records import ImageRecords, ImageSet, kinds_of_records
from sci_plugins.utils.files import reading_arrays

#: Members of a file of records that are ours, beside those of the records.
_LUMA, _STAMP = 'mean_luma', 'made_with'


@dataclass(frozen=True)
class Kept:
    """What is kept of one contender under one condition.

    Args:
        records: image by image.
        luma: mean luma of the images, in [0, 1], in the order of ``records.ids``.
    """

    records: ImageRecords
    luma: np.ndarray

    @property
    def brightness(self) -> dict[str, float] | None:
        """Name -> mean luma; ``None`` if an image has none."""
        if not np.isfinite(self.luma).all():
            return None
        return dict(zip(self.records.ids, self.luma.tolist(), strict=True))


def make_records(hook: ImageResultsHook) -> Kept | str:
    """What a test run has collected, as records.

    Args:
        hook: that took part in the run, on the main process.

    Returns:
        The records; or, in words, why there can be none.
    """
    results, images = hook.results or [], hook.run.images
    reason = _missing(results, images)
    if reason:
        return reason
    if hook.kind is None:
        kinds = ', '.join(sorted(kind.__name__ for kind in kinds_of_records()))
        return f'no class of records takes these results with this ground truth; asked: {kinds}'
    bare = sum(result.kept is None for result in results)
    if bare:
        return f'{bare} of {len(results)} images have no ground truth'
    records = hook.kind.collect([result.kept for result in results], hook.run)
    return Kept(records, np.array([result.luma for result in results]))


class RecordStore:
    """Records in files, ``CONDITION/VARIANT.npz`` below a folder.

    Args:
        folder: where they are.
        about: what the comparison is made with; a file that was made with something
            else is refused.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about

    def path(self, condition: Condition, variant: str) -> Path:
        return self.folder / condition.slug / f'{file_slug(variant)}.npz'

    def save(self, condition: Condition, variant: str, kept: Kept) -> None:
        more = {_LUMA: kept.luma, _STAMP: np.array(self._stamp(condition, variant))}
        kept.records.save(self.path(condition, variant), **more)

    def load(self, condition: Condition, variant: str) -> Kept:
        """Read records back.

        Raises:
            DataError: if the file is missing or damaged.
            ConfigError: if it was made with something else.
        """
        path = self.path(condition, variant)
        with reading_arrays(path, 'records; leave out --resume') as content:
            stamp, luma = str(content[_STAMP]), content[_LUMA]
        if stamp != self._stamp(condition, variant):
            raise ConfigError(
                f'{path} was made with another config, checkpoint, enhancer or version; '
                'choose another --work-dir or leave out --resume'
            )
        return Kept(ImageRecords.load(path), luma)

    def _stamp(self, condition: Condition, variant: str) -> str:
        made_with = [
            identity_of(self.about),
            self.about.get('weights', {}).get(variant),
            condition.to_dict(),
            variant,
        ]
        return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()


def file_slug(name: str) -> str:
    """A name that any file system takes; no two names give the same one."""
    slug = re.sub(r'[^A-Za-z0-9_.=-]+', '-', name).strip('-.')[:80]
    if slug == name:
        return slug
    return f'{slug}-{hashlib.sha256(name.encode()).hexdigest()[:6]}'


def _missing(results: Sequence[ImageResult], images: ImageSet) -> str:
    """Why there can be no records; empty if there can."""
    if not images.infos:
        return 'the data set does not list its images (no get_data_info)'
    if [result.index for result in results] != list(range(len(images))):
        return f'{len(results)} of {len(images)} images were tested'
    for result in results:
        if result.path and result.path != images.paths[result.index]:
            return 'the images do not come in the order of their sampler'
    return ''
