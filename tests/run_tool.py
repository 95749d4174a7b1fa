"""Running a script of tools/ in this process, or in one of its own."""

import contextlib
import io
import os
import runpy
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import pytest

from tests.fork_server import Process, run_python

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


def run_tool_process(
    name: str, *arguments: object, cwd: Path | None = None
) -> tuple[int, str, str]:
    """Run a tool as a user does, in a process of its own."""
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    done = run_python([TOOLS / f'{name}.py', *arguments], environment, cwd)
    return done.returncode, done.stdout, done.stderr


def run_ranks(arguments: Sequence[object], env: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Run a script as the two processes that torchrun would start; what comes of each."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
    world = dict(WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    ranks = [
        Process(arguments, {**env, **world, 'RANK': rank, 'LOCAL_RANK': rank}) for rank in '01'
    ]
    try:
        outputs = [rank.communicate(300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [(rank.wait(), *told) for rank, told in zip(ranks, outputs, strict=True)]
