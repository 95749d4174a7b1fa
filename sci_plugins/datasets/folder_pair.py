"""A folder of images beside a folder of label maps, matched by their names."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class FolderPair(NamedTuple):
    """Images and label maps that have the same path below their folders, but the ends.

    Attributes:
        images: folder of the images; those of its subfolders count as well.
        labels: folder of the label maps, ``None`` where none are public.
        img_suffix: how the name of an image ends, such as ``'_rgb_anon.png'``.
        label_suffix: how that of its label map ends.
    """

    images: Path
    labels: Path | None
    img_suffix: str
    label_suffix: str

    def find_images(self) -> list[Path]:
        """All images in the order of their paths; none if there is no such folder."""
        return sorted(find_files(self.images, self.img_suffix), key=str)

    def find_labels(self) -> list[Path]:
        """All label maps in the order of their paths."""
        if self.labels is None:
            return []
        return sorted(find_files(self.labels, self.label_suffix), key=str)

    def label_of(self, image: Path) -> Path | None:
        """Where the label map of an image should be."""
        if self.labels is None:
            return None
        name = str(image.relative_to(self.images)).removesuffix(self.img_suffix)
        return self.labels / f'{name}{self.label_suffix}'

    def labels_without_image(self, images: list[Path]) -> list[Path]:
        """Label maps whose image is not among ``images``."""
        wanted = {self.label_of(image) for image in images}
        return [label for label in self.find_labels() if label not in wanted]


def find_files(folder: Path, suffix: str) -> Iterator[Path]:
    """Files below a folder whose names end so, in no order; hidden ones are left out."""
    for current, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        for name in names:
            if name.endswith(suffix) and not name.startswith('.'):
                yield Path(current, name)
