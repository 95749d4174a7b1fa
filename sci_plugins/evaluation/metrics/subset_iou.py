"""Mean IoU over all classes or a publication's subset, with the matrix of every image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import segmentation_records
from sci_plugins.evaluation.records import image_ids
from sci_plugins.evaluation.segmentation_records import SegmentationRecords, choose_classes
from sci_plugins.functional.confusion import confusion_matrix
from sci_plugins.registry import METRICS


@METRICS.register_module()
class SubsetIoUMetric(BaseMetric):
    """mmseg's ``IoUMetric``, unrounded, with the choice of classes that papers make.

    ``mIoU``, ``aAcc``, ``mAcc`` and ``IoU/CLASS`` in percent, accumulated over the set; NaN for a
    class that is neither present nor predicted, which the mean leaves out. After the evaluation
    ``records`` holds the confusion matrix of every image, of all classes (on the main process).

    Args:
        classes: 19, 15 or 5 of Cityscapes' classes, see
            :data:`sci_plugins.evaluation.segmentation_records.SUBSETS`; or a list of names;
            ``None``: all classes of the data set.
        ignore_left_out: pixels of left-out ground-truth classes do not count, see
            :class:`SegmentationRecords`.
        ignore_index: label of pixels that do not count.
        records_file: ``.npz`` file for the matrices, to compare later.
        iou_metrics: only ``['mIoU']``, so that a config can replace the host's metric by
            its type alone.
        **kwargs: those of ``BaseMetric``.

    Raises:
        ConfigError: if the data set lacks one of the classes, the samples have no
            ground truth, or other metrics are asked for.
        DataError: naming the image, if prediction and ground truth differ in size or
            hold ids without a class.
    """

    def __init__(
        self,
        classes: int | Sequence[str] | None = None,
        ignore_left_out: bool = False,
        ignore_index: int = 255,
        records_file: str | None = None,
        iou_metrics: str | Sequence[str] = ('mIoU',),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if iou_metrics != 'mIoU' and list(iou_metrics) != ['mIoU']:
            wish = "SubsetIoUMetric computes mIoU only: iou_metrics must be ['mIoU']"
            raise ConfigError(f'{wish}, got {iou_metrics!r}')
        self.classes, self.ignore_left_out = classes, ignore_left_out
        self.ignore_index, self.records_file = ignore_index, records_file
        self.records: SegmentationRecords | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        names = self._class_names()
        choose_classes(self.classes, names)  # a misspelt class stops at the first image
        self.results += [self._count(sample, len(names)) for sample in data_samples]

    def matrix_of(self, path: str) -> np.ndarray | None:
        """The confusion matrix ``(C, C)`` of an image that was just counted here, or ``None``."""
        # From the end: the image is of the last batch.
        return next((found for name, found in reversed(self.results) if name == path), None)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The numbers of the set; prints the classes, writes the file asked for."""
        if not results:
            raise DataError('SubsetIoUMetric: there is no image to evaluate')
        names = self._class_names()
        paths, matrices = zip(*results, strict=True)
        chosen = choose_classes(self.classes, names), self.ignore_left_out
        self.records = SegmentationRecords(image_ids(paths), np.stack(matrices), names, *chosen)
        if self.records_file is not None:
            self.records.save(self.records_file)
        print_log('\n' + segmentation_records.class_table(self.records), logger='current')
        return self.records.metrics()

    def _class_names(self) -> tuple[str, ...]:
        about: Mapping[str, Any] = self.dataset_meta or {}
        if not about.get('classes'):
            raise ConfigError('SubsetIoUMetric needs a data set with names of classes')
        return tuple(about['classes'])

    def _count(self, sample: dict, classes: int) -> tuple[str, np.ndarray]:
        """Path and confusion matrix of an image."""
        if 'gt_sem_seg' not in sample:
            wish = 'the test pipeline must have LoadAnnotations before PackSegInputs'
            raise ConfigError(f'SubsetIoUMetric needs the ground truth: {wish}')
        if (path := sample.get('img_path')) is None:
            wish = "'img_path' among the meta_keys of PackSegInputs"
            raise ConfigError(f'SubsetIoUMetric needs {wish}')
        found, truth = (sample[key]['data'].squeeze() for key in ('pred_sem_seg', 'gt_sem_seg'))
        try:
            return str(path), confusion_matrix(found, truth, classes, self.ignore_index)
        except DataError as error:
            raise DataError(f'{path}: {error}') from error
