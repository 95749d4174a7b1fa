"""Detections of one class matched once, and every number made from them."""

from collections.abc import Callable, Sequence

import numpy as np

from sci_plugins.evaluation.detection_images import ImageDetections
from sci_plugins.evaluation.detection_records_coco import match_coco, match_coco_by_size
from sci_plugins.functional.detection_ap import (
    area_ap,
    coco_ap,
    count_official,
    match_voc,
    rank,
    recall_at_fppi,
    resampled_official_ap,
)

#: Size bins by ``sqrt(width * height)``: the smallest area, the first one above.
SIZE_BINS = {
    'below_16px': (0.0, np.nextafter(16.0**2, 0)),
    '16_to_32px': (16.0**2, 32.0**2),
    'above_32px': (np.nextafter(32.0**2, np.inf), np.inf),
}
Rule = Callable[[np.ndarray], np.ndarray]


class ClassRecords:
    """Every image matched by each definition, for one class.

    Args:
        images: what was found and what is there, of this class alone.
        coco: also by COCO's rules, which takes pycocotools and most of the time.
        by_size: also COCO's numbers by the size of the boxes.
    """

    def __init__(
        self, images: Sequence[ImageDetections], coco: bool = True, by_size: bool = True
    ) -> None:
        clear = [image.without_ignored() for image in images]
        self.official = count_official(
            [image.predictions for image in clear], [image.boxes for image in clear]
        )
        self.voc = rank(
            [image.predictions[:, 4] for image in clear],
            [match_voc(image.predictions, image.boxes) for image in clear],
            [len(image.boxes) for image in clear],
        )
        arrays = [(image.predictions, image.boxes, image.flags) for image in images]
        self.coco = match_coco(arrays) if coco else []
        self.coco_by_size = (
            match_coco_by_size(arrays, SIZE_BINS) if coco and by_size else {}
        )

    @property
    def rules(self) -> dict[str, Rule]:
        """Metric -> how it is made from weights ``(R, N)``; each gives ``(R,)``."""
        rules: dict[str, Rule] = {
            'AP': lambda rows: resampled_official_ap(self.official, rows),
            'VOC_AP50_area': lambda rows: area_ap(self.voc, rows),
            'recall_at_1_FPPI': lambda rows: recall_at_fppi(self.voc, 1.0, rows),
        }
        if self.coco:
            rules['COCO_AP'] = lambda rows: np.mean(
                [coco_ap(ranked, rows) for ranked in self.coco], axis=0
            )
            rules['COCO_AP50'] = lambda rows: coco_ap(self.coco[0], rows)
            rules['COCO_AP75'] = lambda rows: coco_ap(self.coco[5], rows)
        for name, ranked in self.coco_by_size.items():
            rules[f'COCO_AP50_{name}'] = lambda rows, some=ranked: coco_ap(some, rows)  # type: ignore[misc]
        return rules
