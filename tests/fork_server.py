"""Processes that need not wait for their imports: a server that has them is forked for each.

Each is a process of its own, with its exit code, output, environment, folder and arguments, and
may be killed. What Python reads only when it starts (``-W``, ``PYTHONHASHSEED``, the number of
threads) is the server's, and what importing prints is not seen: a test of these starts a cold
process.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

# The first imports the stand-in for mmcv's ops, which the hosts look for.
_IMPORTS = (
    'sci_plugins', 'torch', 'torchvision', 'mmdet.apis', 'mmseg.apis', 'mmdet.models',
    'mmseg.models', 'sci_plugins.apis.compare', 'sci_plugins.apis.enhance_files',
    'sci_plugins.apis.finetune', 'sci_plugins.engine.hooks', 'sci_plugins.engine.naming_runner',
    'sci_plugins.evaluation', 'sci_plugins.demo.run', 'sci_plugins.visualization',
)  # fmt: skip
_NUMBER = struct.Struct('i')


class Process:
    """``python *arguments`` as a fork of the server; most of :class:`subprocess.Popen`."""

    def __init__(
        self,
        arguments: Sequence[object],
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.args = [str(word) for word in arguments]
        self.returncode: int | None = None
        self._out, self._err = (tempfile.TemporaryFile('w+') for _ in range(2))  # noqa: SIM115
        self._state, its_state = socket.socketpair()
        env = dict(os.environ if env is None else env)
        job = dict(arguments=self.args, env=env, cwd=str(cwd or Path.cwd()))
        with its_state:
            _server().send(job, [self._out.fileno(), self._err.fileno(), its_state.fileno()])
        self.pid = self._next_number()

    def _next_number(self) -> int:
        told = self._state.recv(_NUMBER.size, socket.MSG_WAITALL)
        assert told, 'the server ended: python tests/fork_server.py shows whether it starts'
        return int(_NUMBER.unpack(told)[0])

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._state], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._next_number()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Stdout and stderr, once it has ended."""
        self.wait(timeout)
        out, err = (_read(file) for file in (self._out, self._err))
        self._state.close()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_python(
    arguments: Sequence[object],
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    timeout: float | None = 300,
) -> subprocess.CompletedProcess[str]:
    """Run ``python *arguments`` as a fork of the server, as :func:`subprocess.run` would."""
    process = Process(arguments, env, cwd)
    try:
        out, err = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def _read(file: IO[str]) -> str:
    with file:
        file.seek(0)
        return file.read()


class _Server:
    """The connection to the process that is forked; it ends with this one."""

    def __init__(self) -> None:
        self._ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its.fileno())],
                pass_fds=[its.fileno()],
                env=dict(
                    os.environ,
                    OMP_NUM_THREADS='1',
                    PYTORCH_NVML_BASED_CUDA_CHECK='1',  # the other check cannot be forked
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def send(self, job: dict[str, Any], files: list[int]) -> None:
        text = json.dumps(job).encode()
        socket.send_fds(self._ours, [_NUMBER.pack(len(text))], files)
        self._ours.sendall(text)

    def stop(self) -> None:
        self._ours.close()
        self._process.wait()


_servers: dict[int, _Server] = {}


def _server() -> _Server:
    """This process's own: a fork of it may not write into the connection of its parent."""
    if os.getpid() not in _servers:
        _servers[os.getpid()] = _Server()
    return _servers[os.getpid()]


def stop_server() -> None:
    if server := _servers.pop(os.getpid(), None):
        server.stop()


def _next_job(connection: socket.socket) -> dict[str, Any]:
    """Return in a new process for each job; the server itself never does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to its whole group
    signal.signal(signal.SIGCHLD, _bury)
    while True:
        told, files, _, _ = socket.recv_fds(connection, _NUMBER.size, 3)
        if not told:
            os._exit(0)
        job = json.loads(connection.recv(*_NUMBER.unpack(told), socket.MSG_WAITALL))
        if os.fork() == 0:
            connection.close()
            _keep(*files)
            return job
        for file in files:
            os.close(file)


def _bury(*_: object) -> None:
    """Wait for each keeper that has ended: their time is then counted as this process's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _keep(out: int, err: int, state: int) -> None:
    """Fork the process of the job, in which this returns, and tell how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        os.close(out)
        os.close(err)
        os.write(state, _NUMBER.pack(child))
        _, status = os.waitpid(child, 0)
        os.write(state, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, state):
        os.close(file)


def _prepare(arguments: list[str], env: dict[str, str], cwd: str) -> types.ModuleType:
    """Give this process what it would have been started with; its main module."""
    own_path = os.environ.get('PYTHONPATH')
    known = sys.path[1 + len(own_path.split(os.pathsep) if own_path else ()) :]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    first, *rest = arguments
    folder = '' if first == '-c' else str(Path(first).resolve().parent)
    added = env['PYTHONPATH'].split(os.pathsep) if env.get('PYTHONPATH') else []
    sys.path[:] = [folder, *(os.path.abspath(each) for each in added), *known]
    importlib.invalidate_caches()
    sys.argv = ['-c', *rest[1:]] if first == '-c' else arguments
    main = types.ModuleType('__main__')
    sys.modules['__main__'] = main
    if first != '-c':
        main.__file__ = first
    return main


def _serve(connection: socket.socket) -> None:
    for name in _IMPORTS:
        importlib.import_module(name)
    import numpy as np

    gc.collect()
    gc.freeze()
    arguments = (job := _next_job(connection))['arguments']
    np.random.seed()
    main = _prepare(**job)
    is_code = arguments[0] == '-c'
    code = arguments[1] if is_code else Path(arguments[0]).read_text()
    try:
        exec(compile(code, '<string>' if is_code else arguments[0], 'exec'), vars(main))
    except SystemExit as stop:
        _end(stop.code)
    _end(None)


def _end(code: object) -> None:
    """End as Python does, but for a second in which it takes every imported module apart."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == '__main__':
    _serve(socket.socket(fileno=int(sys.argv[1])))
