"""Where the authors' weights come from: folder, cache, mirror, address, or an error."""

import contextlib
import hashlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import SCIEnhancer, build_enhancer
from sci_plugins.models.enhancers import weight_files as official
from sci_plugins.models.enhancers.weight_files import find_weight_file, shipped_names

AUTHORS_HASHES = {  # of the files on the main branch of the authors' repository
    'easy': 'b17326a26a93bf187ecbab217f9d3c57467a8b56020d4d9ff600ba257bbffb36',
    'medium': '4ff1e7e66e8f18114f790e5085ca4c936f0858e329e7ad1cb65b8aa09a9c6916',
    'difficult': '657fa1f280cae1035df0d5cbe628e91f2d0f28660df608a3fa3f7e9a71da5a13',
}


class _Server:
    """An HTTP server of a folder on this machine that counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        requests: list[str] = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

            def do_GET(self) -> None:
                requests.append(self.path)
                if (folder / 'cut').exists():
                    self.send_response(200)
                    self.send_header('Content-Length', '30000')
                    self.end_headers()
                    self.wfile.write(b'half a file')
                elif (folder / 'slow').exists():
                    self.send_response(200)
                    self.end_headers()
                    with contextlib.suppress(OSError):  # nobody listens any more
                        for _ in range(100):
                            self.wfile.write(b'x')
                            time.sleep(0.05)
                else:
                    super().do_GET()

            def log_message(self, *args: Any) -> None:
                """Keep the test's output clean."""

        self.requests = requests
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture()
def server(mirror: Path) -> Iterator[_Server]:
    server = _Server(mirror)
    yield server
    server.stop()


def _one_line(error: BaseException) -> str:
    assert '\n' not in str(error)
    return str(error)


def test_the_hashes_are_the_authors() -> None:
    assert official.OFFICIAL_SHA256 == AUTHORS_HASHES


def test_a_folder_is_used_as_it_is(
    mirror: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(mirror))
    found = find_weight_file('official/medium')
    assert found.path == mirror / 'medium.pt'
    assert found.name == 'official/medium'
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert not clean_sources.exists()


def test_a_folder_without_the_file(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(tmp_path))
    with pytest.raises(FileNotFoundError) as caught:
        find_weight_file('official/medium')
    message = _one_line(caught.value)
    assert 'SCI_PLUGINS_WEIGHTS' in message
    assert str(tmp_path / 'medium.pt') in message


@pytest.mark.parametrize('slash', ['', '/'])
def test_a_mirror_fills_the_cache_once(
    server: _Server, mirror: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', server.address + slash)
    found = find_weight_file('official/easy')
    assert found.path == clean_sources / 'weights' / 'easy.pt'
    assert found.path.read_bytes() == (mirror / 'easy.pt').read_bytes()
    server.stop()  # offline from here on
    assert find_weight_file('official/easy') == found
    monkeypatch.delenv('SCI_PLUGINS_WEIGHTS')
    assert find_weight_file('official/easy') == found
    assert server.requests == ['/easy.pt']
    assert [item.name for item in found.path.parent.iterdir()] == ['easy.pt']


def test_a_mirror_may_be_a_file_address(
    mirror: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', mirror.as_uri())
    assert find_weight_file('official/difficult').path.parent == clean_sources / 'weights'


def test_the_authors_address_is_the_default(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official, 'OFFICIAL_ADDRESS', f'{server.address}')
    find_weight_file('official/medium')
    assert server.requests == ['/medium.pt']


@pytest.mark.parametrize('name', ['easy', 'medium', 'difficult'])
def test_what_is_asked_of_the_authors_server(
    clean_sources: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = []

    def offline(address: str, file: Any, most: int, seconds: float, silent: float) -> None:
        asked.append((address, most, seconds, silent))
        raise OSError('offline')

    monkeypatch.setattr(official, 'download', offline)
    with pytest.raises(CheckpointError, match='offline'):
        find_weight_file(f'official/{name}')
    address = f'https://github.com/vis-opt-group/SCI/raw/main/weights/{name}.pt'
    assert asked == [(address, 43_967, 120, 30)]  # bytes, seconds, seconds of silence


@pytest.fixture()
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize('default', [False, True])
def test_offline_says_address_and_place(
    clean_sources: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int, default: bool
) -> None:
    address = f'http://127.0.0.1:{closed_port}/weights'
    if default:
        monkeypatch.setattr(official, 'OFFICIAL_ADDRESS', address)
    else:
        monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', address)
    with pytest.raises(CheckpointError) as caught:
        SCIEnhancer(weights='official/medium')
    message = _one_line(caught.value)
    assert f'{address}/medium.pt' in message
    assert str(clean_sources / 'weights' / 'medium.pt') in message
    assert 'SCI_PLUGINS_WEIGHTS' in message
    assert not list(clean_sources.rglob('*.pt'))


def test_putting_the_file_there_helps(
    mirror: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setattr(official, 'OFFICIAL_ADDRESS', f'http://127.0.0.1:{closed_port}')
    place = clean_sources / 'weights' / 'medium.pt'
    place.parent.mkdir(parents=True)
    place.write_bytes((mirror / 'medium.pt').read_bytes())
    assert find_weight_file('official/medium').path == place


@pytest.mark.parametrize(
    ('kind', 'cause'),
    [
        ('missing', 'HTTP Error 404'),
        ('cut', 'the connection closed after 11 bytes'),
        ('wrong', 'is not the official medium.pt'),
        ('page', 'is not the official medium.pt'),
        ('long', 'bytes'),
        ('slow', 'not complete after 0.2 seconds'),
        ('silent', 'timed out'),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(
    server: _Server,
    mirror: Path,
    clean_sources: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    cause: str,
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', server.address)
    if kind == 'missing':
        (mirror / 'medium.pt').unlink()
    elif kind in ('cut', 'slow', 'silent'):
        (mirror / kind.replace('silent', 'slow')).touch()
        limit = '_TOTAL_SECONDS' if kind == 'slow' else '_SILENT_SECONDS'
        monkeypatch.setattr(official, limit, 0.2 if kind == 'slow' else 0.02)
    elif kind == 'long':
        (mirror / 'medium.pt').write_bytes(bytes(10_000_000))
    elif kind == 'wrong':
        (mirror / 'medium.pt').write_bytes((mirror / 'easy.pt').read_bytes())
    else:
        (mirror / 'medium.pt').write_text('<html>please log in</html>')
    with pytest.raises(CheckpointError) as caught:
        SCIEnhancer(weights='official/medium')
    assert f'{server.address}/medium.pt' in _one_line(caught.value)
    assert cause in str(caught.value)
    assert not [item for item in clean_sources.rglob('*') if item.is_file()]


@pytest.mark.parametrize('address', ['ftp:/nowhere', 'foo://bar', 'http://', 'http://[', '://'])
def test_nonsense_for_a_mirror(
    clean_sources: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', address)
    with pytest.raises((CheckpointError, FileNotFoundError)) as caught:
        find_weight_file('official/medium')
    assert address.rstrip('/') in _one_line(caught.value)


@pytest.mark.parametrize('where', ['folder', 'cache'])
def test_a_file_with_another_hash(
    mirror: Path, clean_sources: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Both hashes are named, and the file is left for the user to look at."""
    if where == 'folder':
        monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', str(mirror))
        path = mirror / 'medium.pt'
    else:
        path = clean_sources / 'weights' / 'medium.pt'
        path.parent.mkdir(parents=True)
    path.write_bytes((mirror / 'easy.pt').read_bytes() + b'x')
    with pytest.raises(CheckpointError) as caught:
        SCIEnhancer(weights='official/medium')
    message = _one_line(caught.value)
    assert str(path) in message
    assert official.OFFICIAL_SHA256['medium'] in message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in message


def test_many_at_once(
    server: _Server, clean_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks and workers start together on a fresh machine."""
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', server.address)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(find_weight_file, ['official/easy'] * 16))
    assert len(set(found)) == 1
    assert [item.name for item in (clean_sources / 'weights').iterdir()] == ['easy.pt']


@pytest.mark.parametrize('name', ['official/hard', 'official/', 'official/easy.pt'])
def test_unknown_official_names(clean_sources: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_weight_file(name)
    message = _one_line(caught.value)
    assert repr(name) in message
    assert 'official/medium' in message


@pytest.mark.parametrize('name', ['sci_plugins/nothing', 'sci_plugins/../x'])
def test_unknown_shipped_names(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(name))):
        find_weight_file(name)


def test_shipped_weights_load() -> None:
    names = shipped_names()
    assert names
    for name in names:
        enhancer = build_enhancer(f'sci/{name}').eval()
        dark = torch.full((1, 3, 16, 16), 0.1)
        assert float(enhancer(dark).mean()) > 0.12, name
        assert len(find_weight_file(name).sha256) == 64


def test_a_path(tmp_path: Path) -> None:
    path = tmp_path / 'own.pth'
    torch.save(SCIEnhancer().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for given in (path, str(path)):
        assert find_weight_file(given) == (path, str(path), digest)


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'own.pth').write_bytes(b'x')
    assert find_weight_file('~/own.pth').path == tmp_path / 'own.pth'


@pytest.mark.parametrize('name', ['', 'no/such/file.pth', 'medium'])
def test_a_path_that_is_not_there(name: str) -> None:
    with pytest.raises(FileNotFoundError, match='weights not found'):
        find_weight_file(name)


@pytest.mark.parametrize('name', ['easy', 'medium', 'difficult'])
def test_the_real_files(
    shared_data: Path,
    clean_sources: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: list[str],
    name: str,
) -> None:
    """Fetched from a mirror into the cache, checked, loaded, and told in one line."""
    folder = shared_data / 'data' / 'sci_official' / 'weights'
    monkeypatch.setenv('SCI_PLUGINS_WEIGHTS', folder.resolve().as_uri())
    SCIEnhancer(weights=f'official/{name}')
    assert (clean_sources / 'weights' / f'{name}.pt').stat().st_size == 43967
    assert log_lines == [
        f'SCIEnhancer: 18 of 18 entries from official/{name} (sha256 {AUTHORS_HASHES[name][:8]}…)'
    ]
