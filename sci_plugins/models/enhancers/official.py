"""Finding a weight file by name: the authors' files, ours, or a path."""

import hashlib
import os
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from sci_plugins import weights as shipped
from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.utils.files import cache_folder, write_atomically

#: A folder, or an http(s) address, that holds easy.pt, medium.pt, difficult.pt.
WEIGHTS_VARIABLE = 'SCI_PLUGINS_WEIGHTS'
OFFICIAL_ADDRESS = 'https://github.com/vis-opt-group/SCI/raw/main/weights'
OFFICIAL_SHA256 = {
    'easy': 'b17326a26a93bf187ecbab217f9d3c57467a8b56020d4d9ff600ba257bbffb36',
    'medium': '4ff1e7e66e8f18114f790e5085ca4c936f0858e329e7ad1cb65b8aa09a9c6916',
    'difficult': '657fa1f280cae1035df0d5cbe628e91f2d0f28660df608a3fa3f7e9a71da5a13',
}
_TIMEOUT_SECONDS = 30


class WeightFile(NamedTuple):
    """A file on this machine, the name it was asked by, and its hash."""

    path: Path
    name: str
    sha256: str


def find_weight_file(name: str | os.PathLike[str]) -> WeightFile:
    """Resolve ``official/NAME``, ``sci_plugins/NAME`` or a path to a file.

    Official files come from ``$SCI_PLUGINS_WEIGHTS`` if that is set, else from
    the cache folder, else they are fetched once from the authors' repository.

    Raises:
        ConfigError: if the name is not known.
        FileNotFoundError: if there is no such file.
        CheckpointError: if an official file has another hash or cannot be had.
    """
    name = os.fspath(name)
    if name.startswith('official/'):
        return _find_official(name)
    path = _find_shipped(name) if name.startswith('sci_plugins/') else Path(name)
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'weights not found: {path}')
    return WeightFile(path, name, file_sha256(path))


def shipped_names() -> list[str]:
    """Names of the enhancer weights that come with this package."""
    return sorted(
        f'sci_plugins/{path.stem.removeprefix("sci_")}'
        for path in Path(shipped.__path__[0]).glob('sci_*.pth')
    )


def file_sha256(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _find_shipped(name: str) -> Path:
    if name not in shipped_names():
        known = ', '.join([*shipped_names(), *(f'official/{n}' for n in OFFICIAL_SHA256)])
        raise ConfigError(f'unknown weights {name!r}; known: {known}, or a path')
    return Path(shipped.__path__[0]) / f'sci_{name.removeprefix("sci_plugins/")}.pth'


def _find_official(name: str) -> WeightFile:
    short = name.removeprefix('official/')
    if short not in OFFICIAL_SHA256:
        known = ', '.join(f'official/{key}' for key in OFFICIAL_SHA256)
        raise ConfigError(f'unknown weights {name!r}; known: {known}')
    source = os.environ.get(WEIGHTS_VARIABLE, '')
    if source and '://' not in source:
        path = Path(source).expanduser() / f'{short}.pt'
        if not path.is_file():
            raise FileNotFoundError(f'{WEIGHTS_VARIABLE} is set, but {path} is not there')
    else:
        path = cache_folder() / 'weights' / f'{short}.pt'
        if not path.is_file():
            address = (source or OFFICIAL_ADDRESS).rstrip('/')
            _download(f'{address}/{short}.pt', path)
    _check_hash(path.read_bytes(), short, str(path))
    return WeightFile(path, name, OFFICIAL_SHA256[short])


def _download(address: str, path: Path) -> None:
    try:
        with urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
            content = response.read()
    except (OSError, ValueError, HTTPException) as error:
        raise CheckpointError(
            f'cannot fetch {address} ({error}); put the file at {path}, or set '
            f'{WEIGHTS_VARIABLE} to a folder or mirror that holds it'
        ) from error
    _check_hash(content, path.stem, address)
    write_atomically(path, content)  # several ranks or workers may fetch at once


def _check_hash(content: bytes, short: str, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != OFFICIAL_SHA256[short]:
        raise CheckpointError(
            f'{where} is not the official {short}.pt: sha256 should be '
            f'{OFFICIAL_SHA256[short]}, is {found}'
        )
