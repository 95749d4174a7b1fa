"""Whatever reads a folder reads it by one rule: companions, pipes, links, natural order."""

import os
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.apis.enhance_files import plan_jobs
from sci_plugins.apis.evaluate_segmentation import evaluate_segmentation
from sci_plugins.datasets.darkface import DarkFaceDataset
from sci_plugins.datasets.darkface_check import check_darkface
from sci_plugins.datasets.low_light_folder import LowLightFolder
from sci_plugins.datasets.paired_low_light import PairedLowLightDataset
from sci_plugins.utils.images import write_image

NAMES = ('1.png', '2.png', '10.png')


def _trouble(folder: Path) -> None:
    """What a folder on a disk of a Mac or of a server may hold beside the images."""
    (folder / '._1.png').write_bytes(b'\x00\x05\x16\x07')
    os.mkfifo(folder / 'pipe.png')
    (folder / 'loop').symlink_to(folder)
    (folder / 'gone.png').symlink_to(folder / 'nowhere.png')


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    path = tmp_path / 'image'
    for name in NAMES:
        write_image(path / name, np.full((16, 16, 3), 40, np.uint8))
    _trouble(path)
    return path


def test_training_and_pairs(folder: Path) -> None:
    assert [path.name for path in LowLightFolder(folder).files] == list(NAMES)
    pairs = PairedLowLightDataset('', folders=[str(folder), str(folder)])
    assert [path.name for path in pairs.files] == list(NAMES)


def test_enhance(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    jobs = plan_jobs([folder], tmp_path / 'out', skipped=told)
    assert [job.source.name for job in jobs] == list(NAMES)
    assert '1 hidden' in told[0]
    assert '1 named pipe' in told[0]
    assert '1 broken link' in told[0]
    assert f'link not followed again: {folder / "loop"}' in told[0]


def test_label_maps(folder: Path, tmp_path: Path) -> None:
    for name in ('found', 'truth'):
        for file in NAMES:
            write_image(tmp_path / name / file, np.zeros((4, 4), np.uint8))
        _trouble(tmp_path / name)
    result = evaluate_segmentation(tmp_path / 'found', tmp_path / 'truth', 2)
    assert len(result.records.ids) == 3


def test_darkface(folder: Path, tmp_path: Path) -> None:
    (tmp_path / 'label').mkdir()
    for name in NAMES:
        (tmp_path / 'label' / f'{Path(name).stem}.txt').write_text('1\n0 0 5 5\n')
    (tmp_path / 'label' / '._1.txt').write_bytes(b'\x00')
    prefix = dict(img='image/', label='label/')
    data = DarkFaceDataset(data_root=str(tmp_path), data_prefix=prefix, pipeline=[])
    assert [data.get_data_info(index)['img_id'] for index in range(len(data))] == ['1', '2', '10']
    report = check_darkface(tmp_path, size=(16, 16), workers=1)
    assert report.facts['images'] == 3
    assert any('1 hidden' in problem.text for problem in report.problems)
