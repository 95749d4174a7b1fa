"""The command ``sci-plugins``."""

import contextlib
import io
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest import mock

import pytest

import sci_plugins.__main__ as command
from sci_plugins.apis.config import load_config
from sci_plugins.utils import machine
from sci_plugins.version import __version__

ROOT = Path(__file__).parents[2]


def _run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, 'argv', ['sci-plugins', *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            command.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def test_every_tool_but_the_benchmark_is_a_command() -> None:
    code, out, _ = _run()
    names = {line.split()[0] for line in out.split('commands:')[1].splitlines() if line.strip()}
    tools = {path.stem.replace('_', '-') for path in (ROOT / 'tools').glob('*.py')}
    assert code == 0
    assert len(tools) > 10
    assert names == tools - {'benchmark'} | {'configs', 'info'}
    assert all(len(line.split()) > 3 for line in out.split('commands:')[1].strip().splitlines())


@pytest.mark.parametrize('name', ['evaluate-darkface', 'evaluate_darkface'])
def test_a_tool_runs_under_its_name(name: str) -> None:
    code, out, _ = _run(name, '--help')
    assert code == 0
    assert out.startswith('usage: sci-plugins evaluate-darkface ')


TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py') if path.stem != 'benchmark')


@pytest.mark.parametrize('name', TOOLS)
def test_help_has_two_examples_and_the_defaults(name: str) -> None:
    _, out, _ = _run(name, '--help')
    command = f'sci-plugins {name.replace("_", "-")}|tools/{name}.py'
    assert len(re.findall(f'^(?!usage).*({command}) ', out, re.M)) >= 2
    assert 'default: None' not in out
    assert 'default: False' not in out
    assert name != 'compare' or 'seed of the bootstrap (default: 0)' in out


def test_a_near_miss_is_named() -> None:
    assert _run('comparre')[::2] == (
        2,
        "error: unknown command 'comparre' (did you mean compare?)\n",
    )
    assert 'see sci-plugins --help' in _run('zzz')[2]


def test_the_version() -> None:
    assert _run('--version')[1].strip() == __version__


def test_without_the_hosts_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'train.py').write_text('import mmengine\n')
    monkeypatch.setattr(command, 'shipped', lambda _: tmp_path)
    monkeypatch.setitem(sys.modules, 'mmengine', None)
    code, _, err = _run('train')
    assert code == 2
    assert err.startswith('error: this needs the package mmengine')
    assert 'sci_plugins[onedl]' in err
    assert err.count('\n') == 1


def test_configs_are_listed_by_the_names_that_load() -> None:
    code, out, _ = _run('configs', 'sci-frozen_1x_darkface.py')
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0].rpartition('/')[2] for line in lines] == [
        'retinanet_r50_fpn_sci-frozen_1x_darkface.py',
        's3fd_vgg16_sci-frozen_1x_darkface.py',
    ]
    assert load_config(lines[0].split()[0]).model.data_preprocessor.enhancer
    everything = _run('configs')[1].splitlines()
    assert len(everything) > 80
    assert not [line for line in everything if '_base_' in line or len(line.split()) < 3]
    assert len(_run('configs', 'night/*nightcity.py')[1].splitlines()) > 5
    assert _run('configs', 'nothing-of-this-name')[1] == ''


def test_a_misspelt_config_of_ours() -> None:
    with pytest.raises(FileNotFoundError, match='did you mean sci_plugins::demo/faces_retinanet_t'):
        load_config('sci_plugins::demo/face_retinanet_tiny.py')
    with pytest.raises(FileNotFoundError, match='sci-plugins configs'):
        load_config('sci_plugins::zzzz')


def test_info_tells_all() -> None:
    code, out, _ = _run('info')
    assert code == 0
    titles = [line[:12].strip() for line in out.splitlines()]
    assert titles[:4] == ['sci_plugins', 'Python', 'packages', 'mmcv ops']
    assert 'mmengine 0.' in out
    assert 'sci_lol.pth' in out
    assert 'unknown' not in out


def test_info_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError('broken\nby something')

    monkeypatch.setattr(machine, 'describe_machine', fail)
    monkeypatch.setattr(command, 'find_spec', fail)
    code, out, _ = _run('info')
    assert code == 0
    assert out.count('unknown (RuntimeError: broken)') == 2
    assert 'weights      with' in out


def test_info_without_any_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if 'mm' in name:
            raise PackageNotFoundError(name)
        return '1'

    monkeypatch.setattr(machine, 'version', version)
    monkeypatch.setattr(command, 'find_spec', lambda name: None)
    out = _run('info')[1]
    assert 'no mmengine: pip install "sci_plugins[onedl]"' in out
    assert 'there is no mmcv' in out
