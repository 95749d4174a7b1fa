"""A built wheel, installed elsewhere, works without the source tree."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sci_plugins.models.enhancers.weight_files import shipped_names

ROOT = Path(__file__).parents[2]
SOURCES = ('pyproject.toml', 'setup.cfg', 'README.md', 'LICENSE', 'sci_plugins')
SOURCES += ('requirements', 'configs', 'tools')

# What a user does first, in a process that has only the wheel on its path.
_USE = """
import sys
import numpy as np
import sci_plugins

home, = sys.argv[1:]
assert sci_plugins.__file__.startswith(home), sci_plugins.__file__
dark = np.full((24, 32, 3), 20, np.uint8)
bright = sci_plugins.enhance(dark)
assert bright.shape == dark.shape and bright.dtype == np.uint8
assert bright.mean() > 2 * dark.mean(), bright.mean()

from mmengine.registry import MODELS, init_default_scope
for scope in ('mmengine', 'mmdet', 'mmseg'):
    init_default_scope(scope)
    spec = dict(type='sci_plugins.SCIEnhancer', weights='sci_plugins/lol')
    enhancer = MODELS.build(spec)
    assert type(enhancer).__module__ == 'sci_plugins.models.enhancers.sci'
    if scope != 'mmengine':
        kind = dict(mmdet='DetDataPreprocessor', mmseg='SegDataPreProcessor')[scope]
        model = MODELS.build(dict(type=f'sci_plugins.Enhanced{kind}', enhancer=spec))
        assert type(model).__name__ == f'Enhanced{kind}'
print('works')
"""

pytestmark = pytest.mark.slow  # builds and installs


def _pip(*arguments: object) -> None:
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet']
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools leaves its own files in a source tree."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, source / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, source / name)
    _pip('wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', out, source)
    (path,) = out.glob('sci_plugins-*.whl')
    return path


def test_everything_is_in_it(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / 'sci_plugins'
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob('*.*')
        if '__pycache__' not in path.parts
    }
    assert len(wanted) > 50
    assert wanted <= inside
    assert len(shipped_names()) > 0
    for name in shipped_names():
        file = f'sci_plugins/weights/sci_{name.removeprefix("sci_plugins/")}.pth'
        assert file in inside
    assert not [name for name in inside if name.startswith(('tests/', 'tools/'))]
    assert any(name.endswith('LICENSE') for name in inside)
    for name in ('configs', 'tools'):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob('*.*')}
        files = {each for each in files if 'benchmark' not in each and '__pycache__' not in each}
        assert files == {
            each.removeprefix('sci_plugins/.mim/')
            for each in inside
            if each.startswith(f'sci_plugins/.mim/{name}/')
        }
    assert 'sci_plugins/.mim/model-index.yml' in inside


def test_it_works_outside_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / 'site'
    _pip('install', '--no-deps', '--target', home, wheel)
    command = [sys.executable, '-c', _USE, str(home)]
    environment = dict(os.environ, PYTHONPATH=str(home), HOME=str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith('works\n')
    command = [str(home / 'bin' / 'sci-plugins'), 'configs', 'demo/faces']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == [f'sci_plugins::demo/faces_retinanet_tiny{end}.py' for end in ('', '_sci')]
    own = 'from sci_plugins.apis.config import load_config as f; print(f(%r).filename)'
    command = [sys.executable, '-c', own % names[1]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.strip().endswith('.mim/configs/demo/faces_retinanet_tiny_sci.py')
    assert done.stdout.startswith(str(home))
