"""What a figure was measured on, and what can be computed on."""

import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sci_plugins.compat import DISTRIBUTIONS
from sci_plugins.errors import ConfigError, first_line
from sci_plugins.version import __version__

#: Package -> the distributions that install it.
_PACKAGES = {
    'torch': ('torch',), 'torchvision': ('torchvision',), **DISTRIBUTIONS,
    'pycocotools': ('pycocotools',), 'numpy': ('numpy',),
    'opencv': ('opencv-python', 'opencv-python-headless'),
}  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of this package and of what numbers depend on, where installed."""
    found = dict(sci_plugins=__version__)
    for package, names in _PACKAGES.items():
        for name in reversed(names):  # the first one counts
            with suppress(PackageNotFoundError):
                found[package] = version(name)
    return found


def describe_machine() -> dict[str, Any]:
    """CPU, cores, threads in use and versions: what a figure depends on."""
    return {
        'cpu': _cpu_name(),
        'vector_unit': torch.backends.cpu.get_cpu_capability(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
        'system': platform.system(),
    }


def check_device(device: str | torch.device) -> torch.device:
    """The device of a name, if this machine can compute on it, else ``ConfigError``."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = torch.device('meta')
    if found.type == 'meta':  # holds no values
        raise ConfigError(f'unknown device {str(device)!r}; use cpu or cuda')
    count = torch.cuda.device_count() if found.type == 'cuda' else 1
    if count == 0:
        raise ConfigError(f'device {device}: no CUDA device is available')
    if found.type in ('cpu', 'cuda') and (found.index or 0) >= count:
        raise ConfigError(f'device {device}: the last one is {found.type}:{count - 1}')
    try:
        torch.zeros((), device=found)
    except Exception as error:  # torch has another one for each kind of device
        raise ConfigError(f'cannot use device {str(device)!r}: {first_line(error)}') from error
    return found


def _cpu_name() -> str:
    text = ''
    with suppress(OSError):
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
    match = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    return match.group(1) if match else platform.processor() or platform.machine()


def machine_line(machine: Mapping[str, Any]) -> str:
    """One line about a machine that :func:`describe_machine` described."""
    parts = '{cpu} ({vector_unit})', '{threads} threads of {cores} cores', 'torch {torch}'
    return ', '.join([*parts, 'Python {python}', '{system}']).format(**machine)
