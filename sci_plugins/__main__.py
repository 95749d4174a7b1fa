"""SCI low-light enhancement in front of any mmdet detector or mmseg segmentor.

    sci-plugins demo                          # dark faces and night streets, without and with SCI
    sci-plugins compare CONFIG CHECKPOINT     # does it help?

`sci-plugins COMMAND --help` says more. The same as `python -m sci_plugins`.
"""

import argparse
import ast
import fnmatch
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sci_plugins.compat import EXTENSION_NAME, INSTALL
from sci_plugins.errors import did_you_mean, tell_cause
from sci_plugins.utils.cli import describe_missing, run
from sci_plugins.utils.files import CACHE_VARIABLE, cache_folder, shipped
from sci_plugins.version import __version__


def main() -> None:
    """Run the command that the first argument names: a tool, ``configs`` or ``info``."""
    name, *rest = sys.argv[1:] or ['--help']
    tools = {path.stem.replace('_', '-'): path for path in shipped('tools').glob('*.py')}
    tools.pop('benchmark', None)  # measures the source tree, which it needs
    name = name.replace('_', '-')
    if name in ('-h', '--help'):
        print(_overview(tools))
    elif name == '--version':
        print(__version__)
    elif name in _OWN:
        sys.argv = [f'sci-plugins {name}', *rest]
        run(_OWN[name])
    elif name in tools:
        sys.argv = [f'sci-plugins {name}', *rest]
        _run_tool(tools[name])
    else:
        advice = did_you_mean(name, [*tools, *_OWN], '; see sci-plugins --help')
        print(f'error: unknown command {name!r}{advice}', file=sys.stderr)
        sys.exit(2)


def _run_tool(path: Path) -> None:
    try:
        # runpy would set the name in the usage to that of the file.
        exec(compile(path.read_text(), path, 'exec'), dict(__name__='__main__', __file__=str(path)))
    except ModuleNotFoundError as error:  # while the tool itself is imported
        if (message := describe_missing(error)) is None:
            raise
        print(f'error: {message}', file=sys.stderr)
        sys.exit(2)


def _overview(tools: dict[str, Path]) -> str:
    told = {name: ast.get_docstring(ast.parse(path.read_text())) for name, path in tools.items()}
    told |= {name: command.__doc__ for name, command in _OWN.items()}
    lines = [f'  {name:20} {(told[name] or "").splitlines()[0]}' for name in sorted(told)]
    return '\n'.join([str(__doc__), 'commands:', *lines])


def list_configs() -> None:
    """List the configs that come with this package, by the names that every command takes."""
    parser = argparse.ArgumentParser(description=list_configs.__doc__)
    parser.add_argument('pattern', nargs='?', default='', help="part of a name, or 'night/*sci*'")
    pattern = parser.parse_args().pattern
    for name, told in find_configs(pattern if set(pattern) & set('*?[') else f'*{pattern}*'):
        print(f'sci_plugins::{name}  {told}')


def find_configs(pattern: str = '*') -> Iterator[tuple[str, str]]:
    """Name below ``configs/`` and what it is, of each config whose name matches."""
    root = shipped('configs')
    for path in sorted(root.rglob('*.py')):
        name = path.relative_to(root).as_posix()
        if '_base_' not in path.parts and fnmatch.fnmatch(name, pattern):
            yield name, _tell_config(path.read_text())


def _tell_config(text: str) -> str:
    """First sentence of the comment on top, else what the config is based on."""
    comment = re.match(r'(#.*\n)+', text)
    if comment:
        return ' '.join(comment[0].replace('#', '').split()).split('. ')[0].rstrip('.:')
    bases = re.search(r'_base_ = (\[[^]]*\]|.*)', text)
    found = re.findall(r"([^/']+)\.py'", bases[1]) if bases else []
    return f'{" + ".join(found)}, with changes'


def show_info() -> None:
    """Print what a report of a bug needs: versions, ops, devices, weights and cache."""
    argparse.ArgumentParser(description=show_info.__doc__).parse_args()
    facts: dict[str, Callable[[], Any]] = {
        'sci_plugins': lambda: f'{__version__} in {Path(__file__).parent}',
        'Python': lambda: f'{platform.python_version()}, {platform.platform()}',
        'packages': _packages,
        'mmcv ops': _ops,
        'CPU': _cpu,
        'GPU': _gpu,
        'weights': _weights,
        'cache': cache_folder,
        'settings': _settings,
    }
    for title, tell in facts.items():
        try:
            told = tell()
        except Exception as error:  # one fact that cannot be had leaves the others
            told = f'unknown ({tell_cause(error)})'
        print(f'{title:12} {told}')


def _packages() -> str:
    from sci_plugins.utils.machine import package_versions

    found = package_versions()
    missing = '' if 'mmengine' in found else f'; no mmengine: {INSTALL}'
    return ', '.join(f'{name} {number}' for name, number in list(found.items())[1:]) + missing


def _ops() -> str:
    if find_spec('mmcv') is None:
        return 'none, because there is no mmcv'
    spec = find_spec(EXTENSION_NAME)
    if spec is None or spec.origin != 'sci_plugins.compat':
        return f'compiled, {spec and spec.origin}'
    return (
        "not compiled: torchvision's, once sci_plugins is imported; a script without it ends in "
        "\"No module named 'mmcv._ext'\": custom_imports = dict(imports=['sci_plugins'])"
    )


def _cpu() -> str:
    from sci_plugins.utils.machine import describe_machine, machine_line

    return machine_line(describe_machine())


def _gpu() -> str:
    import torch

    return ', '.join(map(torch.cuda.get_device_name, range(torch.cuda.device_count()))) or 'none'


def _weights() -> str:
    files = sorted(path.name for path in (Path(__file__).parent / 'weights').glob('*.pth'))
    fetched = sorted((cache_folder() / 'weights').rglob('*.p*t*'))
    return f'with the package: {", ".join(files)}; in the cache: {len(fetched)} files'


def _settings() -> str:
    names = (CACHE_VARIABLE, 'SCI_PLUGINS_WEIGHTS', 'OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')
    return ', '.join(f'{name}={os.environ[name]}' for name in names if name in os.environ) or 'none'


_OWN: dict[str, Callable[[], None]] = {'configs': list_configs, 'info': show_info}

if __name__ == '__main__':
    main()
