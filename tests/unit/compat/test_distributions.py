"""The two families of host packages, which overwrite each other."""

import sys
import warnings
from pathlib import Path

import pytest

import sci_plugins
from sci_plugins.compat import DISTRIBUTIONS, warn_of_twins
from sci_plugins.errors import MissingDependencyError


def _install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f'{name}.dist-info').mkdir()


def test_twins_are_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, 'onedl_mmdetection-3.5.1', 'mmdet-3.3.0', 'mmcv_lite-2.1.0', 'mmcv-2.1.0')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), str(tmp_path / 'none')])
    with pytest.warns(UserWarning, match='overwrite each other') as caught:
        warn_of_twins()
    (told,) = (str(each.message) for each in caught)
    assert 'pip uninstall -y mmcv mmcv-lite mmdet onedl-mmdetection, then pip install' in told
    assert '\n' not in told


@pytest.mark.parametrize('family', [0, -1])
def test_one_family_is_fine(family: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, *(f'{each[family]}-1.0' for each in DISTRIBUTIONS.values()), 'mmdet_x-1.0')
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_of_twins()


def test_without_mmengine_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'mmengine'", name='mmengine')

    monkeypatch.setattr(sci_plugins, 'import_module', missing)
    with pytest.raises(MissingDependencyError, match=r'sci_plugins\[onedl\].*sci_plugins\[openmm'):
        _ = sci_plugins.enhance
