"""Where files outside the source tree go."""

from pathlib import Path

import pytest

from sci_plugins.utils.files import cache_folder


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ('SCI_PLUGINS_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))


def test_home(tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / '.cache' / 'sci_plugins'
    assert not cache_folder().exists()


def test_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/some/cache')
    assert cache_folder() == Path('/some/cache/sci_plugins')


def test_our_own_variable_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', '/some/cache')
    monkeypatch.setenv('SCI_PLUGINS_CACHE', '~/mine')
    assert cache_folder() == tmp_path / 'mine'


@pytest.mark.parametrize('name', ['SCI_PLUGINS_CACHE', 'XDG_CACHE_HOME'])
def test_an_empty_variable_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, '')
    assert cache_folder() == tmp_path / '.cache' / 'sci_plugins'
