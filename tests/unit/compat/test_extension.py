"""The table of operations, and the line for those that are not in it."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import pytest
import torch

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
    for name in ('extension', 'ops'):
        monkeypatch.delitem(sys.modules, f'sci_plugins.compat.{name}', raising=False)
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    with pytest.raises(MissingDependencyError, match=r'^mmcv has no compiled ops here'):
        import_module('sci_plugins.compat.extension')
