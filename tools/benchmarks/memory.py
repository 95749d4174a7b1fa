"""Peak memory of one call, measured in a process of its own."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sci_plugins.errors import SciPluginsError

# The child must find this package like the parent: through the folder of the tools.
_TOOLS = str(Path(__file__).parents[1])
_CHILD = """
import json, sys, torch
from importlib import import_module
tools, module, function, options = json.loads(sys.argv[1])
sys.path.insert(0, tools)
from benchmarks.memory import peak_mb
found = [peak_mb()]
function = getattr(import_module(module), function)
found.append(peak_mb())
function(**options)
print(json.dumps([*found, peak_mb()]))
"""


@dataclass(frozen=True)
class Memory:
    """MB of the process: after importing PyTorch, after all imports, at its peak."""

    after_torch: float
    after_imports: float
    peak: float

    @property
    def above_torch(self) -> float:
        return self.peak - self.after_torch

    @property
    def above_imports(self) -> float:
        return self.peak - self.after_imports


def measure_memory(module: str, function: str, **options: Any) -> Memory | None:
    """Measure a new Python process that imports ``module`` and calls ``function(**options)``.

    Args:
        module: dotted name.
        function: of that module.
        options: keyword arguments that JSON can hold.

    Returns:
        ``None`` if the system does not report a process's peak.

    Raises:
        SciPluginsError: if the process fails, with its last line of output.
    """
    if peak_mb() is None:
        return None
    done = subprocess.run(
        [sys.executable, '-c', _CHILD, json.dumps([_TOOLS, module, function, options])],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise SciPluginsError(f'cannot measure the memory of {function}: {reason}')
    return Memory(*json.loads(done.stdout.splitlines()[-1]))


def peak_mb() -> float | None:
    """Peak resident memory of this process in MB; ``None`` if the system does not report it.

    The kernel's own figure, since in ``getrusage`` a child inherits its parent's peak.
    """
    try:
        status = Path('/proc/self/status').read_text(encoding='utf-8')
    except OSError:
        return None
    match = re.search(r'^VmHWM:\s*(\d+) kB$', status, re.MULTILINE)
    return int(match.group(1)) / 1024 if match else None
