"""Files of weights by name: published ones, fetched once and checked, ours, or a path."""

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import NamedTuple

from mmengine.logging import print_log

from sci_plugins import weights as shipped
from sci_plugins.errors import CheckpointError, ConfigError, did_you_mean
from sci_plugins.utils.checkpoint import download
from sci_plugins.utils.files import cache_folder, write_atomically
from sci_plugins.utils.folders import PathLike

#: A folder, or an http(s) address, that holds easy.pt, medium.pt, difficult.pt, and the files of
#: other systems as SYSTEM/FILE.
WEIGHTS_VARIABLE = 'SCI_PLUGINS_WEIGHTS'
OFFICIAL_ADDRESS = 'https://github.com/vis-opt-group/SCI/raw/main/weights'
OFFICIAL_SHA256 = {
    'easy': 'b17326a26a93bf187ecbab217f9d3c57467a8b56020d4d9ff600ba257bbffb36',
    'medium': '4ff1e7e66e8f18114f790e5085ca4c936f0858e329e7ad1cb65b8aa09a9c6916',
    'difficult': '657fa1f280cae1035df0d5cbe628e91f2d0f28660df608a3fa3f7e9a71da5a13',
}
#: Size of each of these files; a longer download is refused.
OFFICIAL_BYTES = 43_967
_SILENT_SECONDS = 30.0  # between two pieces of the answer
_TOTAL_SECONDS = 120.0


class PublishedFile(NamedTuple):
    """A file on its authors' pages."""

    place: str  # below the folder of weights, such as ``'ruas/lol.pt'``
    address: str
    bytes: int  # its size; a longer download is refused
    sha256: str
    licence: str = ''  # what its authors say, for the log; empty for SCI's own (MIT)


_ACADEMIC = 'academic use only, CC BY-NC 4.0'
# Of each system: repository on GitHub, commit, folder, size of each file and licence.
_PAGES = {
    'zero-dce': ('Li-Chongyi/Zero-DCE', 'e0f4adc54d0f23348c4a9b84acc08fe8778d5bfd',
        'Zero-DCE_code/snapshots', 320_017, _ACADEMIC),
    'zero-dce++': ('Li-Chongyi/Zero-DCE_extension', '09f202b690f82da939b8e6ec8535960ae97ad8bd',
        'Zero-DCE++/snapshots_Zero_DCE++', 52_395, _ACADEMIC),
    'ruas': ('KarelZhang/RUAS', 'f621bb19ceffbe27b2d9625bb806bc7cc60aea7b', 'ckpt', 31_374,
        'its authors state no licence: ask them before you use it'),
    'iat': ('cuiziteng/Illumination-Adaptive-Transformer',
        'c76472265247f47cea57649af28b15018bb64cb1', 'IAT_enhance', 427_160, 'Apache-2.0'),
}  # fmt: skip
# Name there and hash of each file, by ``SYSTEM/NAME``.
_FILES = {
    'zero-dce/official': ('Epoch99.pth',
        'a4395acb874f320375d9704997cef874eaaaaa26a1777ceb29a92b70f74c3612'),
    'zero-dce++/official': ('Epoch99.pth',
        'ca8855b90df9a80fa4195a831f33d3476b1964f787eb70602797c773067f3b84'),
    'ruas/lol': ('lol.pt', 'f45a881a9b836fff4a3172481f28c9eb4d91bc4df54ec064092f39ce40abcdcd'),
    'ruas/upe': ('upe.pt', '2252d3d909e346b547232c7015f034685aac75181171c6caf90ee12d87ca36c1'),
    'ruas/dark': ('dark.pt', '59083ec4dd4a2b7926c182a4add1519b9646a3aca6c39cfdb7d496fe885828e4'),
    'iat/lol': ('best_Epoch_lol_v1.pth',
        '6fb32236152283d3f3633ea1b79601c7e819efbf9d87d6b4767e1db0f1f3435b'),
    'iat/lol-v2': ('best_Epoch_lol.pth',
        '9564b7e10882e688ac817ae6fd164544d05b9f74232de56c33ed7f9dabf7bdc4'),
    'iat/exposure': ('best_Epoch_exposure.pth',
        '15a9494582f028bef996d4af7145860eaa5d67799d2b0625ed93ff8c546ea3ee'),
}  # fmt: skip


def _published(system: str, file: str, sha256: str) -> PublishedFile:
    repository, commit, folder, size, licence = _PAGES[system]
    address = f'https://github.com/{repository}/raw/{commit}/{folder}/{file}'
    return PublishedFile(f'{system}/{file}', address, size, sha256, licence)


#: Other systems' files, by ``SYSTEM/NAME``.
PUBLISHED = {name: _published(name.split('/')[0], *row) for name, row in _FILES.items()}


def is_published(name: str) -> bool:
    """Whether a name always means the same file: published, or in this package."""
    return name.startswith(('official/', 'sci_plugins/')) or name in PUBLISHED


def bare_name(name: str) -> str:
    """``official/medium`` of ``sci/official/medium``, as the enhancer with it is named."""
    bare = name.removeprefix('sci/')
    return bare if is_published(bare) else name


_TOLD: set[str] = set()


class WeightFile(NamedTuple):
    """A file on this machine, the name that stands for it, and its hash."""

    path: Path
    name: str
    sha256: str


def find_weight_file(name: PathLike) -> WeightFile:
    """Resolve a name to a file.

    It is ``official/NAME``, ``sci_plugins/NAME`` (also behind ``sci/``), ``SYSTEM/NAME`` of
    :data:`PUBLISHED`, or a path. Published files come from ``$SCI_PLUGINS_WEIGHTS`` if that is set,
    else from the cache folder, into which they are downloaded once from their authors' repository.

    Raises ConfigError or FileNotFoundError if there is no such name or file, CheckpointError if a
    published file has another hash or cannot be downloaded.
    """
    name = bare_name(os.fspath(name))
    kind, _, short = name.partition('/')
    if kind in ('official', 'sci_plugins') and name not in names_of_sci():
        known, near = ', '.join(names_of_sci()), did_you_mean(name, names_of_sci())
        raise ConfigError(f'unknown weights {name!r}{near}; known: {known}, or a path')
    file = _official(short) if kind == 'official' else PUBLISHED.get(name)
    if file is not None:
        path = _find_published(file)
        if file.licence and name not in _TOLD:  # once in a process
            _TOLD.add(name)
            print_log(f"{name}: its authors' weights; {file.licence}", 'current', logging.INFO)
        return WeightFile(path, name, file.sha256)
    # os.path leaves `~nobody` as it is, which is not found below; Path.expanduser raises.
    shipped_here = Path(shipped.__path__[0], f'sci_{short}.pth')
    path = shipped_here if kind == 'sci_plugins' else Path(os.path.expanduser(name))
    if not path.is_file():
        near = did_you_mean(name, [*names_of_sci(), *PUBLISHED])
        raise FileNotFoundError(f'weights not found: {path}{near}')
    return WeightFile(path, name, file_sha256(path))


def shipped_names() -> list[str]:
    """Names of the enhancer weights that come with this package."""
    files = Path(shipped.__path__[0]).glob('sci_*.pth')
    return sorted(f'sci_plugins/{path.stem.removeprefix("sci_")}' for path in files)


def names_of_sci() -> list[str]:
    """Names of SCI's weights, ours and the authors'."""
    return [*shipped_names(), *(f'official/{each}' for each in OFFICIAL_SHA256)]


def file_sha256(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _official(short: str) -> PublishedFile:
    address = f'{OFFICIAL_ADDRESS.rstrip("/")}/{short}.pt'
    return PublishedFile(f'{short}.pt', address, OFFICIAL_BYTES, OFFICIAL_SHA256[short])


def _find_published(file: PublishedFile) -> Path:
    source = os.environ.get(WEIGHTS_VARIABLE, '')
    is_folder = source and '://' not in source
    folder = Path(os.path.expanduser(source)) if is_folder else cache_folder() / 'weights'
    path = folder / file.place
    if not path.is_file():
        if is_folder:
            raise FileNotFoundError(f'{WEIGHTS_VARIABLE} is set, but {path} does not exist')
        mirrored = f'{source.rstrip("/")}/{file.place}'
        _download(mirrored if source else file.address, path, file)
    _check_hash(path.read_bytes(), file, str(path))
    return path


def _download(address: str, path: Path, file: PublishedFile) -> None:
    memory = io.BytesIO()
    limits = dict(most=file.bytes, seconds=_TOTAL_SECONDS, silent=_SILENT_SECONDS)
    try:
        download(address, memory, **limits)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        advice = f'set {WEIGHTS_VARIABLE} to a folder or mirror that has it'
        told = f'cannot download {address} ({error}); put the file at {path}, or {advice}'
        raise CheckpointError(told) from error
    content = memory.getvalue()
    _check_hash(content, file, address)
    write_atomically(path, content)  # several ranks or workers may download at once


def _check_hash(content: bytes, file: PublishedFile, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        told = f'expected sha256 {file.sha256}, got {found}'
        raise CheckpointError(f'{where} is not the official {file.place}: {told}')
