"""DARK FACE in its native layout, for mmdet."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import BaseDetDataset
from mmengine.logging import print_log

from sci_plugins.datasets.check_report import NAMED
from sci_plugins.datasets.darkface_labels import (
    count_faces,
    id_order,
    read_upright_boxes,
    strange_boxes,
)
from sci_plugins.datasets.darkface_splits import (
    UNKNOWN,
    annotation_version,
    find_split,
    split_ids,
)
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import read_image_size


@DATASETS.register_module()
class DarkFaceDataset(BaseDetDataset):
    """Images ``image/ID.png`` and labels ``label/ID.txt`` below one folder.

    A label file's first line is the number of faces; each further one
    ``x1 y1 x2 y2`` in pixels of the image. There are two annotation versions,
    43,849 faces (2019) and 50,396 (2021): numbers on one do not compare with the
    other. ``metainfo['annotation_version']`` says which one was found, by its count:
    that of all 6000 labels if they are there, else that of the split (of which only
    2019's is known). The truth for ``DarkFaceMetric`` and ``CocoMetric`` comes along if
    the pipeline packs ``'instances'`` as a meta key.

    Args:
        split: one of :data:`sci_plugins.datasets.darkface_splits.SPLITS`, such as
            ``'regdet_test'``; kept in ``metainfo['split']``.
        ann_file: instead of ``split``, a text file with one image a line, of which the
            first word counts (``ID`` or ``ID.png``). Without either every image of the
            folder is taken, in the order of their ids, and every label needs its image.
        data_prefix: folders of images and labels below ``data_root``.
        img_suffix: ending of the image files.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out images without faces
            when training.
        **kwargs: those of ``mmdet.datasets.BaseDetDataset``.

    Raises:
        ConfigError: if there is no such split, or a list beside it.
        DataError: naming the file (and line), if a folder, an image or a label is
            missing or not what the layout promises.
    """

    METAINFO: ClassVar[dict] = dict(classes=('face',), palette=[(220, 20, 60)])

    def __init__(
        self,
        *args: Any,
        split: str | None = None,
        data_prefix: dict[str, str] | None = None,
        img_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        if split is not None:
            find_split(split)
        self.split = split
        self.img_suffix = img_suffix
        self._strange_boxes: list[str] = []
        prefix = data_prefix or dict(img='image', label='label')
        super().__init__(*args, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One record an image: path, id, size, and ``instances`` with the boxes."""
        images = Path(self.data_prefix['img'])
        if not images.is_dir():
            raise DataError(f'DARK FACE: there is no image folder {images}')
        names = self._names(images)
        self._check_images(images, names)
        records = [self._load_record(images / f'{n}{self.img_suffix}') for n in names]
        self._tell_strange_boxes()
        self._name_version(records)
        return records

    def filter_data(self) -> list[dict]:
        """Without the images that ``filter_cfg`` sorts out of a training."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return self.data_list
        return [record for record in self.data_list if record['instances']]

    def _names(self, images: Path) -> list[str]:
        if self.split is not None:
            if self.ann_file:
                raise ConfigError(
                    f'DARK FACE: give split ({self.split!r}) or ann_file '
                    f'({self.ann_file!r}), not both'
                )
            return split_ids(self.split)
        if self.ann_file:
            return self._listed_ids(Path(self.ann_file))
        names = [path.stem for path in images.glob(f'*{self.img_suffix}')]
        if not names:
            raise DataError(f'DARK FACE: no image in {images} (*{self.img_suffix})')
        self._check_labels(images, set(names))
        return sorted(names, key=id_order)

    def _listed_ids(self, path: Path) -> list[str]:
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f'DARK FACE: cannot read the list {path}: {error}') from error
        words = [line.split()[0] for line in lines if line.strip()]
        if not words:
            raise DataError(f'DARK FACE: no image in {path}')
        names = [word.removesuffix(self.img_suffix) for word in words]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DataError(f'DARK FACE: {path} lists {min(twice, key=id_order)} twice')
        return names

    def _check_labels(self, images: Path, names: set[str]) -> None:
        """Every label of the folder has its image: none of them is dropped silently."""
        labels = Path(self.data_prefix['label']).glob('*.txt')
        alone = sorted((path for path in labels if path.stem not in names), key=str)
        if alone:
            raise DataError(
                f'{alone[0]}: has no image in {images} ({len(alone)} such labels); '
                'choose images by split or ann_file to use a part'
            )

    def _check_images(self, images: Path, names: list[str]) -> None:
        there = {path.name for path in images.iterdir()}
        files = [f'{name}{self.img_suffix}' for name in names]
        missing = [file for file in files if file not in there]
        if missing:
            raise DataError(
                f'{images / missing[0]}: there is no such image '
                f'({len(missing)} of {len(names)} are missing)'
            )

    def _tell_strange_boxes(self) -> None:
        """Name boxes outside, over the edge or doubled; they are kept."""
        texts, self._strange_boxes = self._strange_boxes, []
        lines = [f'DARK FACE: {text}' for text in texts[:NAMED]]
        if len(texts) > NAMED:
            lines.append(f'DARK FACE: and {len(texts) - NAMED} more such boxes')
        for line in lines:
            print_log(line, logger='current', level=logging.WARNING)

    def _name_version(self, records: list[dict]) -> None:
        """Put split and annotation version, where they can be told, into metainfo."""
        everything = count_faces(self.data_prefix['label'], split_ids('all'))
        faces = sum(len(record['instances']) for record in records)
        if everything is not None:
            version = annotation_version(everything)
        elif self.split is not None:
            version = annotation_version(faces, self.split)
        else:
            return
        self._metainfo['annotation_version'] = version
        if self.split is None:
            return
        self._metainfo['split'] = self.split
        if version == UNKNOWN:
            print_log(
                f'DARK FACE: {faces} faces in {self.split}, where the annotations of '
                f'2019 have {find_split(self.split).faces_2019}: unknown annotations, '
                'do not compare the results with published ones',
                logger='current',
                level=logging.WARNING,
            )

    def _load_record(self, image: Path) -> dict:
        width, height = read_image_size(image)
        label = Path(self.data_prefix['label']) / f'{image.stem}.txt'
        boxes = read_upright_boxes(label)
        strange = strange_boxes(label, boxes, (width, height))
        self._strange_boxes += [text for _, text in strange]
        instances = [
            dict(bbox=list(box), bbox_label=0, ignore_flag=0) for _, box in boxes
        ]
        return dict(
            img_path=str(image),
            img_id=image.stem,
            width=width,
            height=height,
            instances=instances,
        )
