"""Every detector's config for DARK FACE trains and tests on two images."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sci_plugins.apis.config import load_config
from sci_plugins.utils.images import write_image
from tests.plain_sci import save_visible_weights
from tests.run_tool import run_tool

pytest.importorskip('mmdet')
pytest.importorskip('pycocotools')

FOLDER = Path(__file__).parents[2] / 'configs/darkface'
CONFIGS = sorted(
    path
    for path in FOLDER.glob('*.py')
    if 'facemask' not in path.stem and '_onnx_' not in path.stem
)
DETECTORS = ('s3fd_vgg16', 'retinanet_r50_fpn', 'tood_r50_fpn', 'yolox_s', 'yolox-p2_w25')
#: Enough for every run of the tests: ours alone, and the one with a deformable
#: convolution. The others take five seconds each.
QUICK = ('s3fd_vgg16_sci-joint_1x_darkface',)
WIDTH, HEIGHT = 144, 96


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layouts of DARK FACE and of WIDER FACE, two images with two faces each."""
    root = tmp_path_factory.mktemp('faces')
    wider = [root / f'WIDER_{part}/images/0--Parade' for part in ('train', 'val')]
    for folder in (root / 'image', root / 'label', root / 'wider_face_split', *wider):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    for name in ('3', '20'):
        image = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        image[20:50, 30:56] += 90
        image[60:72, 100:110] += 90
        write_image(root / f'image/{name}.png', image)
        (root / f'label/{name}.txt').write_text('2\n30 20 56 50\n100 60 110 72\n')
        for folder in wider:
            write_image(folder / f'{name}.jpg', image)
        faces = ['30 20 26 30', '100 60 10 12']
        lines += [f'0--Parade/{name}.jpg', '2', *(f'{face} 0 0 0 0 0 0' for face in faces)]
    for part in ('train', 'val'):
        text = '\n'.join(lines) + '\n'
        (root / f'wider_face_split/wider_face_{part}_bbx_gt.txt').write_text(text)
    save_visible_weights(root / 'visible.pth')
    return root


def _shrink(node: Any, data: Path) -> None:
    """No weights to fetch, the two images, and sizes for them."""
    if isinstance(node, dict):
        kind = node.get('type')
        node.pop('init_cfg', None)
        if kind in ('Resize', 'RandomResize') and 'scale' in node:
            node['scale'] = (WIDTH, HEIGHT)
        if kind == 'RandomCrop':
            node['crop_size'] = (96, 96)
        if 'num_workers' in node:
            node.update(num_workers=0, persistent_workers=False, batch_size=1)
        if str(kind).endswith('Dataset'):
            node['data_root'] = str(data)
            if 'split' in node:
                node['split'] = None
        if str(node.get('weights', '')).startswith('official/'):
            node['weights'] = str(data / 'visible.pth')
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            _shrink(value, data)


def _small(path: Path, data: Path, folder: Path) -> Path:
    cfg = load_config(str(path))
    content = cfg.to_dict()
    _shrink(content, data)
    by_epoch = 'max_epochs' in content['train_cfg']
    content['train_cfg'].update({'max_epochs': 1} if by_epoch else {'max_iters': 2})
    content['train_cfg']['val_interval'] = 100
    content['load_from'] = None
    hooks = content['default_hooks']
    hooks['checkpoint'].update(interval=1 if by_epoch else 2, save_optimizer=False)
    hooks['logger']['interval'] = 1
    small = folder / path.name
    Config(content).dump(small)
    return small


def test_every_detector_has_its_three_configs() -> None:
    names = {path.stem for path in CONFIGS}
    for detector in DETECTORS:
        ends = {
            name.removeprefix(f'{detector}_')
            for name in names
            if name.startswith(f'{detector}_') and 'widerface' not in name
        }
        plain = {end for end in ends if not end.startswith('sci-')}
        assert len(plain) == 1
        end = plain.pop()
        assert ends == {end, f'sci-frozen_{end}', f'sci-joint_{end}'}
    assert names >= {'s3fd_vgg16_120k_widerface', 's3fd_vgg16_120k_widerface-darkface'}
    assert {path.stem for path in CONFIGS} >= set(QUICK)


def test_the_guide_names_every_config() -> None:
    guide = (FOLDER.parents[1] / 'docs/dark_face.md').read_text()
    for path in CONFIGS:
        assert f'`{path.stem}`' in guide, path.stem


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
        for path in CONFIGS
    ],
)
def test_trains_and_tests(path: Path, data: Path, tmp_path: Path) -> None:
    config, work_dir = _small(path, data, tmp_path), tmp_path / 'work'
    code, _, err = run_tool('train', config, '--work-dir', work_dir)
    assert code == 0, err
    log = next(work_dir.rglob('*.json')).read_text().splitlines()
    losses = [line for line in map(json.loads, log) if 'loss' in line]
    assert len(losses) == 2
    assert all(np.isfinite(line['loss']) for line in losses)
    assert ('loss_enhance_fidelity' in losses[0]) == ('sci-joint' in path.stem)
    checkpoint = next(work_dir.glob('*_[12].pth'))
    code, _, err = run_tool('test', config, checkpoint, '--work-dir', work_dir)
    assert code == 0, err
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    name = 'darkface/AP' if 'darkface' in path.stem else 'coco/bbox_mAP'
    assert 0 <= metrics[name] <= 1
    shutil.rmtree(work_dir)  # up to 300 MB
