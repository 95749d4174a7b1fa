"""DARK FACE in its native layout, for mmdet."""

from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset
from PIL import Image, UnidentifiedImageError

from sci_plugins.datasets.darkface_labels import read_boxes
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS


@DATASETS.register_module()
class DarkFaceDataset(BaseDetDataset):
    """Images ``image/ID.png`` and labels ``label/ID.txt`` below one folder.

    A label file's first line is the number of faces; each further one
    ``x1 y1 x2 y2`` in pixels of the image. There are two annotation versions,
    43,849 faces (2019) and 50,396 (2021): numbers on one do not compare with the
    other. ``CocoMetric`` needs no ``ann_file`` if the pipeline packs
    ``'instances'`` as a meta key.

    Args:
        ann_file: a text file with one image a line, of which the first word counts
            (``ID`` or ``ID.png``); empty takes every image of the folder, in the
            order of their ids.
        data_prefix: folders of images and labels below ``data_root``.
        img_suffix: ending of the image files.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without faces
            when training.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        DataError: naming the file (and line), if a folder, an image or a label is
            missing or not what the layout promises.
    """

    METAINFO: ClassVar[dict] = dict(classes=('face',), palette=[(220, 20, 60)])

    def __init__(
        self,
        *args: Any,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        self.img_suffix = img_suffix
        prefix = data_prefix or dict(img='image', label='label')
        super().__init__(*args, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record an image: path, id, size, and ``instances`` with the boxes."""
        images = Path(self.data_prefix['img'])
        if not images.is_dir():
            raise DataError(f'DARK FACE: there is no image folder {images}')
        names = self._listed_ids() if self.ann_file else self._ids_in(images)
        if not names:
            where = self.ann_file or f'{images} (*{self.img_suffix})'
            raise DataError(f'DARK FACE: no image in {where}')
        return [self._load_record(images / f'{name}{self.img_suffix}') for name in names]

    def filter_data(self) -> list[dict]:
        """Without the images that ``filter_cfg`` sorts out of a training."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        return [record for record in self.data_list if record['instances']]

    def _ids_in(self, images: Path) -> list[str]:
        names = [path.stem for path in images.glob(f'*{self.img_suffix}')]
        # 2 comes before 10: the ids of DARK FACE are numbers.
        return sorted(names, key=lambda name: (not name.isdecimal(), len(name), name))

    def _listed_ids(self) -> list[str]:
        path = Path(self.ann_file)
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f'DARK FACE: cannot read the list {path}: {error}') from error
        words = [line.split()[0] for line in lines if line.strip()]
        return [word.removesuffix(self.img_suffix) for word in words]

    def _load_record(self, image: Path) -> dict:
        width, height = _read_size(image)
        label = Path(self.data_prefix['label']) / f'{image.stem}.txt'
        instances = [
            dict(bbox=list(box), bbox_label=0, ignore_flag=0) for box in read_boxes(label)
        ]
        return dict(
            img_path=str(image),
            img_id=image.stem,
            width=width,
            height=height,
            instances=instances,
        )


def _read_size(path: Path) -> tuple[int, int]:
    """``(width, height)`` from the head of an image file."""
    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such image') from None
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f'{path}: cannot be read as an image ({error})') from error
