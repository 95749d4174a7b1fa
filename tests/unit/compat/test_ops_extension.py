"""The table of operations, the line for absent ones, and the finder that serves them."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

import sci_plugins
from sci_plugins.compat import StandInFinder, install_mmcv_ops
from sci_plugins.errors import MissingDependencyError, SciPluginsError

PROMISED = [
    'nms',
    'roi_align_forward',
    'roi_align_backward',
    'deform_conv_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'modulated_deform_conv_forward',
    'modulated_deform_conv_backward',
]


@pytest.mark.parametrize('name', PROMISED)
def test_promised_op_is_ours(extension: ModuleType, name: str) -> None:
    assert getattr(extension, name).__module__.startswith('sci_plugins.compat.')


def test_unknown_op_is_there_and_raises_one_line_when_called(extension: ModuleType) -> None:
    assert hasattr(extension, 'carafe_forward')
    with pytest.raises(NotImplementedError) as caught:
        extension.carafe_forward(torch.zeros(1), scale_factor=2)
    line = str(caught.value)
    assert '\n' not in line
    assert line.startswith('mmcv op carafe_forward: mmcv has no compiled ops here')
    assert 'has only nms, roi_align, deform_conv, modulated_deform_conv,' in line
    assert 'pip install' in line
    assert isinstance(caught.value, SciPluginsError), 'tools print it without traceback'


def soft_nms(ops: ModuleType) -> None:
    ops.soft_nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1))


def roi_pool(ops: ModuleType) -> None:
    ops.RoIPool(2)(torch.zeros(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]))


@pytest.mark.parametrize(('call', 'name'), [(soft_nms, 'softnms'), (roi_pool, 'roi_pool_forward')])
def test_public_function_of_mmcv_raises_the_line(
    ops: ModuleType, call: Callable[[ModuleType], None], name: str
) -> None:
    with pytest.raises(NotImplementedError, match=f'^mmcv op {name}: '):
        call(ops)


@pytest.mark.parametrize('name', ['__path__', '__wrapped__', '_private'])
def test_private_name_is_not_an_op(extension: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(extension, name)


def test_versions_name_the_origin(ops: ModuleType) -> None:
    import torchvision

    assert ops.get_compiler_version() == (f'none, ops from torchvision {torchvision.__version__}')
    expected = torch.version.cuda or 'not available'
    assert ops.get_compiling_cuda_version() == expected


def test_torchvision_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'sci_plugins.compat.ops', raising=False)
    monkeypatch.delattr(sci_plugins.compat, 'ops', raising=False)
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    with pytest.raises(MissingDependencyError, match=r'^mmcv has no compiled ops here'):
        import_module('sci_plugins.compat.ops')


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
