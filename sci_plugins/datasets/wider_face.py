"""WIDER FACE for mmdet, with its own text annotations.

Their place is ``wider_face_split/wider_face_*_bbx_gt.txt``.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset
from mmengine.logging import print_log

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import read_numbered_lines
from sci_plugins.utils.images import read_image_size

_COLUMNS = 'x y w h blur expression illumination invalid occlusion pose'


@dataclass(frozen=True)
class WiderFace:
    """One face of WIDER FACE.

    Args:
        box: ``(x1, y1, x2, y2)`` in pixels; empty for some faces of the real data.
        blur: 0 clear, 1 normal, 2 heavy.
        occlusion: 0 none, 1 partial (1-30 %), 2 heavy (over 30 %).
        invalid: marked as such: too unclear to be used.
    """

    box: tuple[float, float, float, float]
    blur: int
    occlusion: int
    invalid: bool


def read_wider_face(path: str | Path) -> dict[str, list[WiderFace]]:
    """Image name, such as ``0--Parade/x.jpg``, -> its faces.

    For each image the file has its name, the number of faces, and a line a face; for an
    image without faces one line of zeros follows.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or is not
            what the layout promises.
    """
    lines = iter(read_numbered_lines(Path(path), 'annotation file'))
    images: dict[str, list[WiderFace]] = {}
    for number, name in lines:
        if not name.lower().endswith('.jpg'):
            raise DataError(
                f'{path}, line {number}: should name an image (FOLDER/NAME.jpg), is '
                f'{name!r}: the number of faces before it may be wrong'
            )
        if name in images:
            raise DataError(f'{path}, line {number}: {name} comes again')
        images[name] = _read_faces(path, name, lines)
    if not images:
        raise DataError(f'{path}: names no image')
    return images


def _read_faces(path: str | Path, name: str, lines: Iterator[tuple[int, str]]) -> list[WiderFace]:
    number, text = next(lines, (0, ''))
    if not text.isdecimal():
        where = f', line {number}' if number else ''
        raise DataError(f'{path}{where}: should hold the number of faces of {name}, is {text!r}')
    count = int(text)
    # An image without faces has one line, of zeros.
    faces = [_parse(path, name, next(lines, None)) for _ in range(max(count, 1))]
    if count == 0 and faces[0].box != (0, 0, 0, 0):
        raise DataError(f'{path}, line {number}: promises no face of {name}, one follows')
    return faces[:count]


def _parse(path: str | Path, name: str, line: tuple[int, str] | None) -> WiderFace:
    if line is None:
        raise DataError(f'{path}: ends before the last face of {name}')
    number, text = line
    try:
        x, y, width, height, blur, _, _, invalid, occlusion, _ = map(int, text.split())
    except ValueError:
        raise DataError(
            f'{path}, line {number}: should hold ten whole numbers {_COLUMNS}, is {text!r}'
        ) from None
    return WiderFace((x, y, x + width, y + height), blur, occlusion, bool(invalid))


@DATASETS.register_module()
class WiderFaceTextDataset(BaseDetDataset):
    """``wider_face_split/wider_face_{train,val}_bbx_gt.txt``, with no conversion.

    mmdet's ``WIDERFaceDataset`` reads somebody's conversion to XML instead.

    Faces marked as invalid and those with an empty box are ignored: neither to be found
    nor background. The two limits ignore more of them.

    Args:
        ann_file: the text file, below ``data_root``.
        data_prefix: such as ``dict(img='WIDER_train/images')``, below ``data_root``.
        max_blur: ignore faces that are more blurred, 0 (clear) to 2 (heavy: keep all).
        max_occlusion: ignore faces that are more occluded, 0 to 2 (keep all).
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without a face that
            counts when training.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        ConfigError: if a limit is out of range.
        DataError: naming the file (and line), if something is missing or not what the
            layout promises.
    """

    METAINFO: ClassVar[dict] = dict(classes=('face',), palette=[(220, 20, 60)])

    def __init__(
        self, *args: Any, max_blur: int = 2, max_occlusion: int = 2, **kwargs: Any
    ) -> None:
        for name, value in (('max_blur', max_blur), ('max_occlusion', max_occlusion)):
            if value not in (0, 1, 2):
                raise ConfigError(f'WIDER FACE: {name} must be 0, 1 or 2, got {value!r}')
        self.max_blur = max_blur
        self.max_occlusion = max_occlusion
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record an image: path, id, size, and ``instances`` with the boxes."""
        folder = Path(self.data_prefix['img'])
        if not folder.is_dir():
            raise DataError(f'WIDER FACE: there is no image folder {folder}')
        records = [
            self._record(folder / name, name, faces)
            for name, faces in read_wider_face(self.ann_file).items()
        ]
        instances = [each for record in records for each in record['instances']]
        ignored = sum(instance['ignore_flag'] for instance in instances)
        print_log(
            f'WIDER FACE: {len(records)} images, {len(instances)} faces, {ignored} of them ignored',
            logger='current',
            level=logging.INFO,
        )
        return records

    def filter_data(self) -> list[dict]:
        """Without the images that ``filter_cfg`` sorts out of a training."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        return [
            record
            for record in self.data_list
            if not all(instance['ignore_flag'] for instance in record['instances'])
        ]

    def _record(self, image: Path, name: str, faces: list[WiderFace]) -> dict:
        width, height = read_image_size(image)
        return dict(
            img_path=str(image),
            img_id=name.removesuffix('.jpg'),
            width=width,
            height=height,
            instances=[
                dict(
                    bbox=list(map(float, face.box)),
                    bbox_label=0,
                    ignore_flag=int(self._is_ignored(face)),
                )
                for face in faces
            ],
        )

    def _is_ignored(self, face: WiderFace) -> bool:
        x1, y1, x2, y2 = face.box
        return (
            face.invalid
            or x2 <= x1
            or y2 <= y1
            or face.blur > self.max_blur
            or face.occlusion > self.max_occlusion
        )
