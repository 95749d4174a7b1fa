"""Weights by address or by name: one line where they cannot be had, and no long wait."""

import pickle
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any
from urllib.error import HTTPError, URLError

from sci_plugins.errors import CheckpointError, SciPluginsError
from sci_plugins.utils.error_text import describe_unpickling, tell_cause
from sci_plugins.utils.host_errors import frames_of

#: Seconds that a server may stay silent; without it a connection waits for minutes.
TIMEOUT = 20.0


def guard_addresses() -> None:
    """Let MMEngine's loaders of addresses say what it was that they could not get.

    ``https://``, ``torchvision://``, ``open-mmlab://`` and their like, where MMEngine
    lets ``<urlopen error [Errno -2] Name or service not known>`` through. They then
    raise ``CheckpointError``, at the latest ``TIMEOUT`` seconds after a server fell
    silent. Calling it again changes nothing.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if prefix and not hasattr(loader, '__wrapped__'):
            CheckpointLoader.register_scheme(prefix, loader=_guard(loader), force=True)


def advise(config: Mapping[str, Any], message: str) -> str:
    """How to give another file for the weights that ``message`` names.

    Args:
        config: a whole config.
        message: an error that names a checkpoint of it.

    Returns:
        The end of a sentence, from its semicolon on; ``''`` if none is named.
    """
    for key, name in _checkpoints(config):
        if name in message:
            whole = key.removesuffix('.checkpoint')
            return f'; give a file by --cfg-options {key}=FILE, or none by {whole}=None'
    return ''


def _guard(loader: Callable) -> Callable:
    @wraps(loader)
    def load(filename: str, map_location: Any = None) -> Any:
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(before or TIMEOUT)
        try:
            return loader(filename, map_location)
        except SciPluginsError:
            raise
        except Exception as error:  # a server may answer anything
            raise CheckpointError(_tell(filename, error)) from error
        finally:
            socket.setdefaulttimeout(before)

    return load


def _tell(name: str, error: Exception) -> str:
    """What could not be had, from where, and why."""
    addresses = [
        frame.f_locals.get('filename')
        for frame in frames_of(error)
        if frame.f_code.co_name == 'load_from_http'
    ]
    if not addresses and isinstance(error, KeyError):
        return f'weights {name} cannot be had: MMEngine knows no such name'
    address = addresses[-1] if addresses else name
    place = f'weights {name}' + (f' ({address})' if address != name else '')
    if isinstance(error, pickle.UnpicklingError):
        return describe_unpickling(place, error)
    reachable = not isinstance(error, URLError) or isinstance(error, HTTPError)
    cause = tell_cause(error) if reachable else getattr(error, 'reason', error)
    return f'{place} cannot be had: {cause}'


def _checkpoints(node: Any, key: str = '') -> Iterator[tuple[str, str]]:
    """Dotted key and name of each checkpoint that a config loads."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        below = f'{key}.{name}' if key else str(name)
        if isinstance(value, str) and name in ('checkpoint', 'pretrained', 'load_from'):
            yield below, value
        yield from _checkpoints(value, below)
