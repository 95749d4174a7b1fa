"""Each image of COCO-style sets several times, so that a darkened test draws noise as often.

    python docs/repeat_images.py work_dirs/faces-4 $SCI_PLUGINS_DATA/data/wider \
        $SCI_PLUGINS_DATA/data/facemask:test --times 4
    python tools/compare.py CONFIG CHECKPOINT --variants none adaptive --darken 0.1:0.002 \
        --cfg-options test_dataloader.dataset.data_root=work_dirs/faces-4/ --resample blocks:4

The noise of a darkened image depends on its file's name. Copies are links beside one another, so
that blocks of as many are resampled together: they are no independent images. Used for the table
of draws in docs/adaptive.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from sci_plugins.datasets.coco_face import hashed_split


def repeat(sources: list[str], target: Path, times: int) -> int:
    """Write ``coco.json`` and links in ``images`` below ``target``, a new folder: how many links.

    Sources are folders with ``coco.json`` and ``images``; ``FOLDER:test`` takes the split of
    ``CocoFaceDataset``. Categories are those of the first.
    """
    (target / 'images').mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    for text in sources:
        folder, _, split = text.partition(':')
        given = json.loads(Path(folder, 'coco.json').read_text())
        categories = categories or given['categories']
        for image in sorted(given['images'], key=lambda each: each['id']):
            name = Path(image['file_name'])
            if split and hashed_split(name.name, 0.2) != split:
                continue
            boxes = [each for each in given['annotations'] if each['image_id'] == image['id']]
            for turn in range(times):
                link = f'{Path(folder).name}_{name.stem}__{turn}{name.suffix}'
                (target / 'images' / link).symlink_to(Path(folder, 'images', name).resolve())
                number = len(images) + 1
                images.append(image | dict(id=number, file_name=link))
                for box in boxes:
                    annotations.append(box | dict(id=len(annotations) + 1, image_id=number))
    repeated = dict(images=images, annotations=annotations, categories=categories)
    (target / 'coco.json').write_text(json.dumps(repeated))
    return len(images)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('target', type=Path, help='new folder')
    parser.add_argument('sources', nargs='+', metavar='FOLDER[:test]')
    parser.add_argument('--times', type=int, default=4)
    asked = parser.parse_args()
    print(repeat(asked.sources, asked.target, asked.times), 'images')
