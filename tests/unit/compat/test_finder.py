"""The finder: last in line, silent for every other name, and light."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sci_plugins
from sci_plugins.compat import StandInFinder, install_mmcv_ops

ROOT = Path(sci_plugins.__file__).parents[1]


def run_python(code: str, *search: Path) -> str:
    """Run ``code`` in a fresh Python and give what it prints."""
    path = os.pathsep.join(str(folder) for folder in (*search, ROOT))
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': path},
        cwd=search[0] if search else ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def make_mmcv(folder: Path) -> None:
    """Write a package ``mmcv`` that has an extension of its own."""
    package = folder / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / '_ext.py').write_text("nms = 'compiled'\n")


def test_import_of_sci_plugins_imports_nothing_heavy() -> None:
    heavy = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmseg')
    code = f'import sys, sci_plugins; print([m for m in {heavy} if m in sys.modules])'
    assert run_python(code) == '[]'


@pytest.mark.parametrize(
    'start', ['import sci_plugins, mmcv._ext', 'import mmcv._ext, sci_plugins']
)
def test_extension_of_mmcv_is_left_alone(tmp_path: Path, start: str) -> None:
    make_mmcv(tmp_path)
    code = f"""{start}
import sys
from importlib.util import find_spec
heavy = [name for name in ('torch', 'torchvision') if name in sys.modules]
print(mmcv._ext.nms, hasattr(mmcv._ext, 'carafe_forward'), heavy)
print(mmcv._ext.__file__)
print(find_spec('mmcv._ext').origin)
"""
    file = str(tmp_path / 'mmcv' / '_ext.py')
    expected = ['compiled False []', file, file]
    assert run_python(code, tmp_path).splitlines() == expected


def test_install_again_changes_nothing() -> None:
    before = list(sys.meta_path)
    install_mmcv_ops()
    assert sys.meta_path == before
    assert sum(isinstance(finder, StandInFinder) for finder in before) == 1


def test_finder_stands_last() -> None:
    code = """import sys, sci_plugins
print(type(sys.meta_path[-1]).__name__)"""
    assert run_python(code) == 'StandInFinder'


@pytest.mark.parametrize(
    'name', ['mmcv', 'mmcv.ops', 'mmcv._ext.nms', 'mmcv._extra', '_ext', 'other._ext']
)
def test_finder_is_silent_for_other_names(name: str) -> None:
    assert StandInFinder().find_spec(name) is None


def test_hosts_checks_see_the_stand_in(extension: ModuleType) -> None:
    from mmcv.utils.ext_loader import check_ops_exist
    from mmengine.utils.dl_utils import mmcv_full_available

    assert check_ops_exist()
    assert mmcv_full_available()


RETRY = """
try:
    import {first}
except ModuleNotFoundError as error:
    print(error)
import sci_plugins
import {then}
print('imported')
"""


def test_import_works_after_one_that_failed(extension: ModuleType) -> None:
    code = RETRY.format(first='mmcv.ops', then='mmcv.ops')
    assert run_python(code).splitlines() == ["No module named 'mmcv._ext'", 'imported']


@pytest.mark.slow
def test_hosts_import_after_an_import_that_failed(extension: ModuleType) -> None:
    pytest.importorskip('mmdet', reason='mmdet is not installed')
    pytest.importorskip('mmseg', reason='mmseg is not installed')
    hosts = 'mmdet.models, mmdet.apis, mmseg.models, mmseg.apis'
    lines = run_python(RETRY.format(first='mmdet.models', then=hosts)).splitlines()
    assert "No module named 'mmcv._ext'" in lines
    assert lines[-1] == 'imported'
