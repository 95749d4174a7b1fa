"""The machine that a figure was measured on."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


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


def _cpu_name() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
    except OSError:
        text = ''
    match = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    return match.group(1) if match else platform.processor() or platform.machine()


def machine_line(machine: Mapping[str, Any]) -> str:
    return (
        '{cpu} ({vector_unit}), {threads} threads of {cores} cores, '
        'torch {torch}, Python {python}, {system}'
    ).format(**machine)
