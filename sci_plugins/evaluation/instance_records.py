"""Instance masks kept image by image, beside the boxes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from sci_plugins.errors import DataError
from sci_plugins.evaluation import detection_records
from sci_plugins.evaluation.detection_records import DetectionRecords, ImageDetections, Images
from sci_plugins.evaluation.records import RunInfo
from sci_plugins.functional.coco_matching import match_coco_masks
from sci_plugins.registry import RECORDS

Code = dict[str, Any]


@dataclass(frozen=True)
class ImageMasks:
    """Masks of one image, as run-length codes ``dict(size=[H, W], counts=bytes)``."""

    scores: np.ndarray  # ``(P,)``, of the masks; a network's boxes may have others
    found: list[Code]  # one for each predicted box
    true: list[Code]  # one for each true box

    def of_class(self, index: int, image: ImageDetections) -> tuple[Any, ...]:
        """What is matched of one class: scores, masks found and true, ignore flags."""
        found, there = (np.flatnonzero(labels == index) for labels in image.classes)
        codes = [self.found[i] for i in found], [self.true[i] for i in there]
        return self.scores[found], *codes, image.flags[there]


@RECORDS.register_module()
class InstanceRecords(DetectionRecords):
    """Boxes, and COCO's average precision of their masks, as mmdet's ``segm``.

    Used if the model gives masks and the data set has them. Needs pycocotools.

    Raises:
        DataError: if an image has not one mask for each box.
    """

    definitions: ClassVar[Mapping[str, str]] = {
        **DetectionRecords.definitions,
        'COCO_mask_AP': 'COCO_AP of masks: the IoU is that of the pixels',
        'COCO_mask_AP50': 'the same at IoU 0.5 alone',
        'COCO_mask_AP75': 'the same at IoU 0.75 alone',
        'COCO_mask_AR': 'COCO_AR of masks',
        'COCO_mask_AP50/CLASS': 'COCO_mask_AP50 of one class alone',
    }
    fractions: ClassVar[Collection[str]] = (*definitions,)
    host_names: ClassVar[Mapping[str, str]] = {
        **DetectionRecords.host_names,
        **{f'segm_mAP{end}': f'COCO_mask_AP{end[1:]}' for end in ('', '_50', '_75')},
    }

    def __init__(
        self, images: Images, masks: Sequence[ImageMasks], classes: Sequence[str] = ('object',)
    ) -> None:
        super().__init__(images, True, classes)
        self.masks = list(masks)
        pairs = list(zip(self.masks, self.images, strict=True))
        for each, image in pairs:
            counts = len(each.scores), len(each.found), len(each.true)
            boxes = len(image.predictions), len(image.predictions), len(image.boxes)
            if counts != boxes:
                raise DataError(f'image {image.img_id}: {boxes} boxes but {counts} masks')
        for index, part in enumerate(self.parts):
            part.masks = match_coco_masks([each.of_class(index, image) for each, image in pairs])

    @classmethod
    def accepts(cls, output: Any, run: RunInfo) -> bool:
        has_masks = hasattr(getattr(output, 'pred_instances', None), 'masks')
        instances = (each for info in run.images.infos for each in info.get('instances') or [])
        return has_masks and any('mask' in each for each in instances)

    @classmethod
    def keep(cls, output: Any, run: RunInfo) -> Any:
        """Boxes, labels, scores of the masks, and the masks as run-length codes."""
        found = output.pred_instances
        codes = [mask if isinstance(mask, dict) else _encode(mask) for mask in found.masks]
        scores = detection_records.as_rows(getattr(found, 'mask_scores', found.scores), 1)[:, 0]
        return (*super().keep(output, run), scores, codes)

    @classmethod
    def collect(cls, kept: Sequence[Any], run: RunInfo) -> 'InstanceRecords':
        plain = DetectionRecords.collect([each[:2] for each in kept], run)
        pairs = zip(kept, map(_true_codes, run.images.infos), strict=True)
        masks = [ImageMasks(scores, found, true) for (*_, scores, found), true in pairs]
        return cls(plain.images, masks, plain.classes)

    @property
    def names(self) -> list[str]:
        each = [] if self._single else [f'COCO_mask_AP50/{name}' for name in self.classes]
        return super().names + each

    def arrays(self) -> dict[str, np.ndarray]:
        codes = [code for each in self.masks for code in (*each.found, *each.true)]
        return super().arrays() | dict(
            mask_scores=np.concatenate([np.zeros(0), *(each.scores for each in self.masks)]),
            mask_sizes=np.array([code['size'] for code in codes], np.int64).reshape(-1, 2),
            mask_counts=np.frombuffer(b'\n'.join(code['counts'] for code in codes), np.uint8),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'InstanceRecords':
        images, classes = detection_records.images_from_arrays(arrays)
        counts = arrays['mask_counts'].tobytes().split(b'\n') if len(arrays['mask_sizes']) else []
        pairs = zip(arrays['mask_sizes'].tolist(), counts, strict=True)
        codes = iter([dict(size=size, counts=text) for size, text in pairs])
        scores = iter(arrays['mask_scores'])
        masks = []
        for found, there in ((len(each.predictions), len(each.boxes)) for each in images):
            own = np.array(list(islice(scores, found)))
            masks.append(ImageMasks(own, list(islice(codes, found)), list(islice(codes, there))))
        return cls(images, masks, classes)


def _encode(mask: Any) -> Code:
    from pycocotools import mask as coco_mask

    pixels = mask.detach().cpu().numpy() if hasattr(mask, 'detach') else np.asarray(mask)
    return dict(coco_mask.encode(np.asfortranarray(pixels, np.uint8)))


def code_of(mask: Any, height: int, width: int) -> Code:
    """A run-length code of what an annotation file holds: polygons, or a code in any form."""
    from pycocotools import mask as coco_mask

    if isinstance(mask, list):
        return dict(coco_mask.merge(coco_mask.frPyObjects(mask, height, width)))
    if isinstance(mask['counts'], list):
        return dict(coco_mask.frPyObjects(mask, height, width))
    text = mask['counts']
    return dict(size=mask['size'], counts=text.encode() if isinstance(text, str) else text)


def box_of(code: Code) -> tuple[float, float, float, float]:
    """The smallest box around a mask: x, y, width, height."""
    from pycocotools import mask as coco_mask

    x, y, width, height = coco_mask.toBbox(code).tolist()
    return x, y, width, height


def _true_codes(info: Mapping[str, Any]) -> list[Code]:
    masks = (each.get('mask') or [[0.0] * 6] for each in info.get('instances') or [])
    return [code_of(mask, info['height'], info['width']) for mask in masks]
