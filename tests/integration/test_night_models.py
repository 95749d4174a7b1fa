"""The segmentors of configs/night: mmseg's own, trained and tested on two images."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from sci_plugins.apis.config import load_config
from sci_plugins.engine.naming_runner import NamingRunner
from sci_plugins.registry import MODELS
from sci_plugins.utils.checkpoint import load_fully
from tests.host_models import batch, host_config, raw_outputs
from tests.plain_sci import save_visible_weights

mmseg = pytest.importorskip('mmseg')

FOLDER = Path(__file__).parents[2] / 'configs/night'
CONFIGS = sorted(path for path in FOLDER.glob('*.py') if 'camvid' not in path.stem)
#: Ours -> its name in mmseg, and in tests/host_models.py.
MODELS_OF = {
    'pspnet_r50-d8': 'PSPNet',
    'deeplabv3plus_r50-d8': 'DeepLabV3+',
    'segformer_mit-b0': 'SegFormer',
}
SETS = {'acdc-night', 'nightcity', 'bdd100k-night', 'dark-zurich', 'night-driving'}
#: Enough for every run of the tests: one of each model, set and kind.
QUICK = (
    'segformer_mit-b0_sci-frozen_160k_cityscapes-dark-zurich',
    'segformer_mit-b0_20k_acdc-night',
    'segformer_mit-b0_sci-joint_20k_nightcity',
    'segformer_mit-b0_160k_cityscapes-bdd100k-night',
    'segformer_mit-b0_160k_cityscapes-night-driving',
)
#: SegFormer's windows must have 32 pixels a side.
SIZE, STEP = 64, 4


@pytest.fixture(scope='module', autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two or three street scenes in the layout of each set, 96x48."""
    root = tmp_path_factory.mktemp('night')
    make = runpy.run_path(str(Path(__file__).parents[1] / 'data/make_night_sets.py'))
    for split in ('train', 'val'):
        make['write_acdc'](root / 'ACDCDataset', split=split, step=STEP)
        make['write_nightcity'](root / 'NightCityDataset', split=split, step=STEP)
        make['write_bdd100k'](root / 'BDD100KNightDataset', split=split, step=STEP)
    make['write_dark_zurich'](root / 'DarkZurichDataset', step=STEP)
    make['write_night_driving'](root / 'NightDrivingDataset', step=STEP)
    save_visible_weights(root / 'visible.pth')
    return root


def _shrink(node: Any, data: Path) -> None:
    """No weights to fetch, our images, and sizes for them."""
    if isinstance(node, dict):
        kind = str(node.get('type'))
        node.pop('init_cfg', None)
        if kind == 'RandomResize':
            node['scale'] = (2 * SIZE, SIZE)
        if kind == 'RandomCrop':
            node['crop_size'] = (SIZE, SIZE)
        if 'num_workers' in node:
            node.update(num_workers=0, persistent_workers=False)
            node['batch_size'] = min(2, node['batch_size'])
        if kind.endswith('Dataset'):
            node['data_root'] = str(data / kind.rpartition('.')[2])
        if str(node.get('weights', '')).startswith('official/'):
            node['weights'] = str(data / 'visible.pth')
        if node.get('mode') == 'slide':
            node.update(crop_size=(40, 40), stride=(30, 30))
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            _shrink(value, data)


def _runner(path: Path, data: Path, folder: Path) -> NamingRunner:
    cfg = load_config(str(path))
    content = cfg.to_dict()
    _shrink(content, data)
    content['model']['data_preprocessor']['size'] = (SIZE, SIZE)
    cfg = type(cfg)(content)
    cfg.work_dir, cfg.load_from, cfg.experiment_name = str(folder), None, folder.name
    cfg.log_level = 'ERROR'
    if cfg.get('train_cfg'):
        cfg.train_cfg.max_iters = 1
        cfg.param_scheduler = []  # a warm-up's first step is too small to be seen
    cfg.default_hooks.checkpoint.save_last = False
    return NamingRunner.from_cfg(cfg)


def test_every_model_has_its_configs() -> None:
    names = {path.stem for path in CONFIGS}
    for model in MODELS_OF:
        ends = {name.removeprefix(f'{model}_') for name in names if name.startswith(model)}
        plain = {end for end in ends if not end.startswith('sci-')}
        frozen = {end.removeprefix('sci-frozen_') for end in ends if 'frozen' in end}
        joint = {end.removeprefix('sci-joint_') for end in ends if 'joint' in end}
        assert frozen == plain
        assert {end.rpartition('_cityscapes-')[2] for end in plain} > SETS
        assert joint == {'20k_acdc-night', '20k_nightcity'} < plain
        names -= {f'{model}_{end}' for end in ends}
    assert not names
    assert {path.stem for path in CONFIGS} >= set(QUICK)


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[] if 'segformer' in n else pytest.mark.slow) for n in MODELS_OF]
)
def test_the_hosts_checkpoints_load_unchanged(name: str, data: Path) -> None:
    """The same entries of the same shapes, and with them the same scores."""
    init_default_scope('mmseg')
    host = MODELS.build(host_config(MODELS_OF[name])[1].model)
    image = torch.randint(0, 256, (3, 104, 104), dtype=torch.uint8)
    _give_sensible_statistics(host, image)
    state = host.state_dict()
    content = load_config(str(FOLDER / f'{name}_20k_acdc-night.py')).model.to_dict()
    _shrink(content, data)
    ours = MODELS.build(content).eval()
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in state.items()}
    load_fully(ours, dict(state_dict=state), 'mmseg')
    for wanted, seen in zip(
        raw_outputs(host, batch('mmseg', [image])),
        raw_outputs(ours, batch('mmseg', [image])),
        strict=True,
    ):
        scale = float(wanted.std())
        torch.testing.assert_close(seen / scale, wanted / scale, rtol=0, atol=1e-4)


def _give_sensible_statistics(model: Any, image: torch.Tensor) -> None:
    """Those of a batch: with random ones, scores would hardly depend on the image."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.data_preprocessor.size = None
    raw_outputs(model.train(), batch('mmseg', [image, image.flip(1)]))
    model.eval()


def test_addresses_are_those_of_the_hosts_tables() -> None:
    configs = Path(mmseg.__path__[0]) / '.mim/configs'
    published = ''.join(
        (configs / folder / 'metafile.yaml').read_text()
        for folder in ('pspnet', 'deeplabv3plus', 'segformer')
    )
    plain = [path for path in CONFIGS if '_sci-' not in path.stem]
    addresses = {load_config(str(path)).load_from for path in plain}
    assert len(addresses) == len(MODELS_OF)
    for address in addresses:
        # Hosts of files come and go; the file is the same.
        assert f'{address.partition("/mmsegmentation/")[2]}\n' in published


@pytest.mark.parametrize(
    'path',
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
        for path in CONFIGS
    ],
)
def test_trains_and_tests(path: Path, data: Path, tmp_path: Path) -> None:
    runner = _runner(path, data, tmp_path)
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    if runner.cfg.get('train_cfg'):
        runner.train()
        scalars = runner.message_hub.log_scalars
        losses = {
            key.removeprefix('train/'): value.current()
            for key, value in scalars.items()
            if 'loss' in key
        }
        assert all(np.isfinite(value) for value in losses.values())
        assert ('loss_enhance_fidelity' in losses) == ('sci-joint' in path.stem)
        moved = {
            key.startswith('data_preprocessor')
            for key, value in runner.model.named_parameters()
            if not torch.equal(value, before[key])
        }
        assert moved == ({False, True} if 'sci-joint' in path.stem else {False})
    metrics = runner.test()
    assert 0 <= metrics['mIoU'] <= 100
