"""Running a script of tools/ in this process, or in one of its own."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

TOOLS = Path(__file__).parents[1] / 'tools'


def run_tool(name: str, *arguments: object) -> tuple[int, str, str]:
    """Run a tool in this process, which has the imports done: code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    path = str(TOOLS / f'{name}.py')
    with (
        mock.patch.object(sys, 'argv', [path, *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        runpy.run_path(path, run_name='__main__')
    code = stop.value.code
    assert isinstance(code, int)
    return code, out.getvalue(), err.getvalue()


def run_tool_process(name: str, *arguments: object) -> tuple[int, str, str]:
    """Run a tool as a user does, from another folder."""
    command = [sys.executable, str(TOOLS / f'{name}.py'), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS='1')
    )
    return done.returncode, done.stdout, done.stderr
