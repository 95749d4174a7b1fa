"""Draw docs/images/night_datasets.jpg: one decoded sample of each night set.

    python docs/make_pictures.py

The sets' own photographs are not ours to show: generated streets are written in each
set's layout, loaded as a config loads them, and drawn with the set's palette.
"""

import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope
from PIL import Image, ImageDraw, ImageFont

import sci_plugins  # noqa: F401  (operations for an mmcv without compiled ones)
from sci_plugins.registry import DATASETS

ROOT = Path(__file__).resolve().parents[1]
MAKER = ROOT / 'tests/data/make_night_sets.py'
TARGET = ROOT / 'docs/images/night_datasets.jpg'
WIDTH, HEIGHT, CAPTION, GAP = 304, 152, 18, 6
SWATCH, ENTRY, LINE = 11, 112, 17
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
IGNORED = (0, 0, 0)


def write_sets(root: Path) -> list[tuple[str, dict]]:
    """Every layout below ``root``; caption and config of each data set."""
    make = runpy.run_path(str(MAKER))
    make['write_acdc'](root / 'acdc', frames=[('GOPR0351', 1)], step=1)
    make['write_dark_zurich'](root / 'zurich', numbers=[324], step=1)
    make['write_night_driving'](root / 'driving', count=1, step=1)
    make['write_nightcity'](root / 'city', numbers=[1], step=1)
    make['write_bdd100k'](root / 'bdd', times=['night'], step=1)
    make['write_camvid'](root / 'camvid', names=['0001TP_006690'], step=1)
    zurich = dict(img_path='rgb_anon/val/night', seg_map_path='gt/val/night')
    driving = dict(
        img_path='leftImg8bit/test/night', seg_map_path='gtCoarse_daytime_trainvaltest/test/night'
    )
    camvid = dict(img_path='train', seg_map_path='trainannot')
    return [
        ('ACDC', dict(type='sci_plugins.ACDCDataset', split='val')),
        ('Dark Zurich', dict(type='DarkZurichDataset', data_prefix=zurich)),
        ('Nighttime Driving', dict(type='NightDrivingDataset', data_prefix=driving)),
        ('NightCity', dict(type='sci_plugins.NightCityDataset', split='val')),
        ('BDD100K', dict(type='sci_plugins.BDD100KNightDataset', split='val')),
        ('CamVid', dict(type='sci_plugins.CamVidDataset', data_prefix=camvid)),
    ]


FOLDERS = ('acdc', 'zurich', 'driving', 'city', 'bdd', 'camvid')


def colour(labels: np.ndarray, palette: list) -> np.ndarray:
    """RGB picture of a label map ``(H, W)``; what is ignored is black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def draw_cell(caption: str, sample: dict, palette: list) -> Image.Image:
    """Image and label map side by side below a caption."""
    image = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
    labels = sample['data_samples'].gt_sem_seg.data[0].numpy().astype(np.uint8)
    cell = Image.new('RGB', (2 * WIDTH, CAPTION + HEIGHT), 'white')
    for column, array, how in (
        (0, np.ascontiguousarray(image), Image.Resampling.LANCZOS),
        (1, colour(labels, palette), Image.Resampling.NEAREST),
    ):
        small = Image.fromarray(array).resize((WIDTH, HEIGHT), how)
        cell.paste(small, (column * WIDTH, CAPTION))
    ImageDraw.Draw(cell).text((0, 1), caption, 'black', _font())
    return cell


def draw_legend(title: str, metainfo: dict, width: int) -> Image.Image:
    """Each class beside its colour, and what is ignored."""
    names = [*metainfo['classes'], 'ignored']
    colours = [*map(tuple, metainfo['palette']), IGNORED]
    columns = width // ENTRY
    rows = -(-len(names) // columns)
    legend = Image.new('RGB', (width, LINE * (rows + 1)), 'white')
    pen = ImageDraw.Draw(legend)
    pen.text((0, 1), title, 'black', _font())
    for index, (name, rgb) in enumerate(zip(names, colours, strict=True)):
        x, y = ENTRY * (index % columns), LINE * (1 + index // columns)
        pen.rectangle((x, y + 2, x + SWATCH, y + 2 + SWATCH), fill=rgb)
        pen.text((x + SWATCH + 4, y + 1), name, 'black', _font())
    return legend


def _font() -> Any:
    return ImageFont.load_default(12)


def main() -> None:
    init_default_scope('mmseg')
    cells, metainfo = [], {}
    with tempfile.TemporaryDirectory() as folder:
        sets = write_sets(Path(folder))
        for (name, cfg), place in zip(sets, FOLDERS, strict=True):
            root = str(Path(folder, place))
            dataset = DATASETS.build(dict(cfg, data_root=root, pipeline=PIPELINE))
            file = Path(dataset.get_data_info(0)['seg_map_path']).relative_to(root)
            metainfo[name] = dataset.metainfo
            caption = f'{name}: {file.name}'
            cells.append(draw_cell(caption, dataset[0], dataset.metainfo['palette']))
    width = 4 * WIDTH + GAP
    legends = [
        draw_legend("Cityscapes' 19 classes", metainfo['ACDC'], width),
        draw_legend("CamVid's 11 classes", metainfo['CamVid'], width),
    ]
    rows = -(-len(cells) // 2)
    height = rows * (CAPTION + HEIGHT + GAP) + sum(each.height for each in legends)
    sheet = Image.new('RGB', (width, height), 'white')
    for index, cell in enumerate(cells):
        x, y = (index % 2) * (2 * WIDTH + GAP), index // 2 * (CAPTION + HEIGHT + GAP)
        sheet.paste(cell, (x, y))
    y = rows * (CAPTION + HEIGHT + GAP)
    for legend in legends:
        sheet.paste(legend, (0, y))
        y += legend.height
    sheet.save(TARGET, quality=82, optimize=True)
    print(f'{TARGET}: {TARGET.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
