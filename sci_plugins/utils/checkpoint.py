"""Reading weight files, also by address: a checkpoint is data, never code."""

import hashlib
import logging
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.hub import tqdm

from sci_plugins import errors
from sci_plugins.errors import CheckpointError, DataError, SciPluginsError, tell_cause
from sci_plugins.utils.files import new_file, write_all
from sci_plugins.utils.folders import PathLike, check_regular_file
from sci_plugins.utils.model_parts import unwrap_model
from sci_plugins.utils.torch_file import load_torch_file
from sci_plugins.version import __version__

_FORCE_VARIABLE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # overrules the argument in each torch.load


def read_checkpoint(path: PathLike, *, trust: bool = False, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint by :func:`load_torch_file`, which executes nothing that it holds.

    ``trust`` allows any pickled objects, which can run code; ``map_location``: see ``torch.load``.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file holds other objects, is damaged or is not a checkpoint at all.
    """
    try:
        path = check_regular_file(path, 'checkpoint')
    except DataError as error:
        raise CheckpointError(str(error)) from error
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path} is empty (0 bytes)')
    try:
        return _read(path, map_location, trust)
    except pickle.UnpicklingError as error:
        raise CheckpointError(errors.describe_unpickling(str(path), error)) from error
    except Exception as error:  # a damaged file makes the unpickler raise anything
        if isinstance(error, MemoryError) or getattr(error, 'filename', None):
            raise
        raise CheckpointError(errors.describe_damage(str(path), error)) from error


def use_safe_loading(*, trust: bool = False) -> None:
    """Make MMEngine and the hosts load checkpoints as data in this process; ``trust`` ends it.

    MMEngine's own loader falls back to ``weights_only=False`` where a file does not load safely.
    Then all are read as :func:`read_checkpoint` does, also from addresses, see
    :func:`guard_addresses`, and torch refuses code wherever else it loads.
    """
    from mmengine.runner import checkpoint as loaders

    def load(filename: str, map_location: Any = None) -> Any:
        return read_checkpoint(os.path.expanduser(filename), trust=trust, map_location=map_location)

    loaders.CheckpointLoader.register_scheme(prefixes='', loader=load, force=True)
    guard_addresses()
    # What the loaders of all names and addresses end in.
    loaders.load_url = partial(_load_url, trust=trust)
    if trust:
        os.environ.pop(_FORCE_VARIABLE, None)
    else:
        os.environ[_FORCE_VARIABLE] = '1'


def _load_url(
    url: str, model_dir: str = '', map_location: Any = None, progress: bool = True, **trust: bool
) -> Any:
    """``torch.hub.load_state_dict_from_url`` with limits, whose file is read as data."""
    if (path := _place(url, model_dir)).exists():
        return _read(path, map_location, **trust)
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as file:  # what cannot be read does not stay
        download(url, file, most=MOST_BYTES, seconds=SECONDS, silent=TIMEOUT, bar=progress)
        return _read(Path(file.name), map_location, **trust)


def _place(url: str, folder: str | None = None) -> Path:
    """The file in torch's cache for an address."""
    name = Path(urlparse(url).path).name
    if not re.search(r'-[0-9a-f]{8,}\.', name):  # no hash in it: `epoch_12.pth` may be anybody's
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    return Path(folder or Path(torch.hub.get_dir(), 'checkpoints')) / name


def _read(path: Path, map_location: Any, trust: bool = False) -> Any:
    if trust:
        return torch.load(path, map_location=map_location, weights_only=False)
    return load_torch_file(path, map_location)


def load_fully(model: nn.Module, content: Any, name: str) -> None:
    """Load a host's checkpoint, and refuse one that lacks parameters of the model.

    MMEngine only logs what is missing or of another shape; such a model would be evaluated with
    random weights. Entries that the model does not have (an auxiliary head) are fine; so is a
    missing enhancer. The model may be wrapped; ``content`` is of :func:`read_checkpoint`.

    Raises:
        CheckpointError: saying how many parameters do not fit, and naming one and the checkpoint.
    """
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{name} does not hold a state dict')
    inner = unwrap_model(model)
    state = {str(key).removeprefix('module.'): value for key, value in state.items()}
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    for key, value in tensors.items():  # of a file read with trust; others are refused before
        is_strided = value.layout == torch.strided
        if not is_strided or value.is_meta or value.is_quantized or value.is_nested:
            entry = errors.show_name(key)
            raise CheckpointError(f'{name}: entry {entry} is not a dense tensor with values')
    try:
        missing = set(inner.load_state_dict(state, strict=False).missing_keys)
    except RuntimeError as error:
        cause = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f'{name} does not fit the model: {cause}') from error
    names = [key for key, _ in inner.named_parameters() if 'data_preprocessor.' not in key]
    if absent := [key for key in names if key in missing]:
        lacks = f'it lacks {len(absent)} of {len(names)} parameters, first {absent[0]}'
        raise CheckpointError(f'{name} does not fit the model: {lacks}')
    own = inner.state_dict().keys()
    floats = {key: tensors[key] for key in own & tensors.keys() if tensors[key].is_floating_point()}
    if broken := [key for key in own if key in floats and floats[key].isnan().any()]:
        message = f'{name}: {len(broken)} of {len(own)} entries hold NaN, first {broken[0]}'
        print_log(message, 'current', logging.WARNING)


TIMEOUT = 20.0  # seconds that a server may stay silent; without it a connection waits for minutes
SECONDS = 3600.0  # that a download may take
MOST_BYTES = 8 * 2**30  # of a download: weights of today's networks have up to 4 GB


def guard_addresses() -> None:
    """Let MMEngine's loaders of addresses name what they cannot load.

    Those of ``https://``, ``torchvision://``, ``open-mmlab://`` and the like then raise
    ``CheckpointError``, after :func:`use_safe_loading` at the latest ``TIMEOUT`` seconds after a
    server fell silent.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if prefix and not hasattr(loader, '__wrapped__'):
            CheckpointLoader.register_scheme(prefix, loader=_guard(loader), force=True)


def advise(config: Mapping[str, Any], message: str) -> str:
    """The end of an error that names weights: how to replace them; ``''`` if it names none."""
    for key, name in _checkpoints(config):
        if name in message:
            whole = key.removesuffix('.checkpoint')
            return f'; give a file by --cfg-options {key}=FILE, or none by {whole}=None'
    return ''


def _guard(loader: Callable) -> Callable:
    @wraps(loader)
    def load(filename: str, map_location: Any = None) -> Any:
        try:
            return loader(filename, map_location)
        except SciPluginsError:
            raise
        except Exception as error:  # a server may answer anything
            raise CheckpointError(_tell(filename, error)) from error

    return load


def _tell(name: str, error: Exception) -> str:
    if (address := _address(name)) is None:
        return f'cannot load weights {name}: MMEngine knows no such name'
    place = name if address == name else f'{name} ({address})'
    if isinstance(error, pickle.UnpicklingError):
        kept = _place(address)
        where = f', fetched earlier to {kept},' if kept.exists() else ''
        return errors.describe_unpickling(f'weights {place}{where}', error)
    reachable = not isinstance(error, URLError) or isinstance(error, HTTPError)
    cause = tell_cause(error) if reachable else getattr(error, 'reason', error)
    return f'cannot load weights {place}: {cause}'


def _address(name: str) -> str | None:
    """What MMEngine's lists say where a name in them is kept; ``None`` if it is in none."""
    from mmengine.runner import checkpoint as lists

    scheme, _, key = name.partition('://')
    if scheme in ('torchvision', 'modelzoo'):
        return lists.get_torchvision_models().get(key)
    if scheme in ('open-mmlab', 'openmmlab'):
        return lists.get_external_models().get(lists.get_deprecated_model_names().get(key, key))
    return lists.get_mmcls_models().get(key) if scheme == 'mmcls' else name


def _checkpoints(node: Any, key: str = '') -> Iterator[tuple[str, str]]:
    """Dotted key and name of each checkpoint that a config loads."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        below = f'{key}.{name}' if key else str(name)
        if value and isinstance(value, str) and name in ('checkpoint', 'pretrained', 'load_from'):
            yield below, value
        yield from _checkpoints(value, below)


def download(
    address: str, file: IO[bytes], *, most: int, seconds: float, silent: float, bar: bool = False
) -> None:
    """Write what ``http://``, ``https://``, ``ftp://`` or ``file://…`` gives to an open file.

    At most ``most`` bytes and ``seconds``, however the server answers, which may stay silent for
    ``silent`` seconds. After an error the file holds a part.

    Raises:
        OSError: if it cannot be had, is longer, is cut off, or takes longer.
        ValueError: if it is no address.
    """
    failures: list[BaseException] = []

    def work() -> None:
        try:
            _receive(address, file, most, silent, bar)
        except BaseException as error:
            failures.append(error)

    # A server that sends the head of its answer letter by letter holds up a plain call for ever.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f'not complete after {seconds:g} seconds')
    if failures:
        raise failures[0]


def _receive(address: str, file: IO[bytes], most: int, silent: float, bar: bool) -> None:
    request = Request(address, headers={'User-Agent': f'sci_plugins/{__version__}'})
    count = 0
    try:
        with urlopen(request, timeout=silent) as response:
            length = getattr(response, 'length', None)  # what an answer of HTTP still has
            with tqdm(total=length, disable=not bar, unit='B', unit_scale=True) as shown:
                while piece := response.read1(2**16):
                    count += len(piece)
                    if max(count, length or 0) > most:
                        raise OSError(f'it has more than {most} bytes')
                    write_all(file, piece)
                    shown.update(len(piece))
            if getattr(response, 'length', 0):
                raise OSError(f'the connection closed after {count} bytes')
    except HTTPException as error:
        raise OSError(tell_cause(error)) from error
