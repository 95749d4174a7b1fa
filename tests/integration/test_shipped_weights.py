"""The enhancer weights that the package ships do what their page says."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sci_plugins.apis.enhance import truncate_to_8_bits
from sci_plugins.functional.low_light import darken
from sci_plugins.models.enhancers import SCIEnhancer, build_enhancer
from sci_plugins.models.enhancers.weight_files import shipped_names
from sci_plugins.utils.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'sci_plugins' / 'weights'
NAMES = ['sci_plugins/gentle', 'sci_plugins/lol']
#: The adaptive stage's, and who taught them.
STAGES = dict(adaptive=['YOLOX', 'EncoderDecoder', 'pixels'])


def test_what_is_shipped() -> None:
    assert shipped_names() == sorted([*NAMES, *(f'sci_plugins/{name}' for name in STAGES)])


@pytest.mark.parametrize('name', list(STAGES))
def test_the_adaptive_stage_carries_its_recipe(name: str) -> None:
    path = FOLDER / f'sci_{name}.pth'
    assert path.stat().st_size < 40_000
    page = (FOLDER / 'README.md').read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page
    recipe = read_checkpoint(path)['meta']
    assert [each['teacher'] for each in recipe['teachers']] == STAGES[name]
    assert recipe['tuned']['safe'] is True
    assert f'{recipe["tuned"]["steps"]} steps' in page


@torch.no_grad()
@pytest.mark.parametrize('name', list(STAGES))
def test_the_adaptive_stage_on_photographs(name: str, shared_data: Path) -> None:
    """By day they hardly change; in the dark and in noise they do."""
    stage: Any = build_enhancer(f'adaptive/sci_plugins/{name}').eval()
    files = sorted((shared_data / 'data' / 'coco' / 'val2017').glob('*.jpg'))[::4]
    changes, gains = [], []
    for path in files:
        image = _read(path)
        changes.append(float((stage(image) - image).abs().mean()))
        pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
        dark = darken(pixels, 0.05, 0.004, 0, np.random.default_rng(0))
        found = stage.decide(torch.from_numpy(dark).permute(2, 0, 1)[None].float() / 255)
        gains.append(float(found.gain))
        assert float(found.strengths.max()) > 0.5
    assert float(np.median(changes)) < 0.01
    assert max(changes) < 0.1
    assert min(gains) > 1.3


@pytest.mark.parametrize('name', NAMES)
def test_the_file_carries_the_recipe_of_its_config(name: str) -> None:
    path = FOLDER / f'sci_{name.split("/")[1]}.pth'
    assert path.stat().st_size < 10_000
    page = (FOLDER / 'README.md').read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page
    recipe = read_checkpoint(path)['meta']
    config = recipe['command'].split()[-1]
    assert recipe['command'] in page
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / config)
    assert recipe['steps'] == cfg.train_cfg.max_iters
    assert recipe['seed'] == cfg.randomness.seed
    assert recipe['training']['model']['exposure'] == cfg.model.exposure.to_dict()
    rate = recipe['training']['optim_wrapper']['optimizer']['lr']
    assert rate == cfg.optim_wrapper.optimizer.lr


@pytest.mark.parametrize('name', NAMES)
def test_brighter_stays_brighter_and_grey_stays_grey(name: str) -> None:
    grey = torch.linspace(0, 1, 201).view(-1, 1, 1, 1).expand(-1, 3, 9, 9)
    with torch.no_grad():
        curve = build_enhancer(f'sci/{name}').eval()(grey)[:, :, 4, 4]
    assert (curve.diff(dim=0) >= -1e-3).all()
    assert (curve >= grey[:, :, 4, 4] - 1e-5).all()  # it never darkens
    assert curve[20].mean() > 0.15  # grey level .1
    assert (curve - curve[:, :1]).abs().max() < 0.01


def _read(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert('RGB')))
    return pixels.permute(2, 0, 1)[None].float() / 255


def test_gentle_leaves_bright_photographs_nearly_alone(shared_data: Path) -> None:
    files = sorted((shared_data / 'data' / 'exposures').glob('*.jpg'))
    bright = [image for image in map(_read, files[::4]) if image.mean() >= 0.4]
    assert len(bright) > 20
    change = {}
    for name in NAMES:
        enhancer = SCIEnhancer(weights=name).eval()
        with torch.no_grad():
            changes = [float((enhancer(image) - image).abs().mean()) for image in bright]
        change[name] = np.mean(changes)
    assert change['sci_plugins/gentle'] < 0.05 < 0.2 < change['sci_plugins/lol']


def test_lol_is_nearer_to_the_bright_partners_than_any_official_set(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data / 'data' / 'lol' / 'test'
    monkeypatch.setenv(
        'SCI_PLUGINS_WEIGHTS', str(shared_data / 'data' / 'sci_official' / 'weights')
    )
    names = ['official/easy', 'official/medium', 'official/difficult', 'sci_plugins/lol']
    files = sorted((folder / 'low').glob('*.png'))
    assert len(files) == 8
    psnr = {}
    for name in names:
        enhancer = SCIEnhancer(weights=name).eval()
        with torch.no_grad():
            psnr[name] = np.mean([_psnr(enhancer, folder, file.name) for file in files])
    assert psnr['sci_plugins/lol'] > 18 > 16 > max(psnr[name] for name in names[:3])


def _psnr(enhancer: SCIEnhancer, folder: Path, name: str) -> float:
    low, normal = _read(folder / 'low' / name), _read(folder / 'normal' / name)
    saved = truncate_to_8_bits(enhancer(low).numpy()) / 255
    return float(-10 * np.log10(np.mean((saved - normal.numpy()) ** 2)))
