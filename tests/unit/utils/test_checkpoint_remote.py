"""Weights by address: served, refused, silent, damaged, or of an unknown name."""

import pickle
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from sci_plugins.errors import CheckpointError
from sci_plugins.utils import checkpoint as remote_weights
from sci_plugins.utils.checkpoint import advise, guard_addresses, use_safe_loading

#: A name that no network has (RFC 2606).
NOWHERE = 'http://nowhere.invalid/vgg.pth'


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '*')
    use_safe_loading()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a folder, and the folder."""
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{http.server_address[1]}', folder
        http.shutdown()


def _refused(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        CheckpointLoader.load_checkpoint(name)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_served_weights_load(server: tuple[str, Path]) -> None:
    address, folder = server
    torch.save(dict(state_dict=dict(a=torch.ones(2))), folder / 'good.pth')
    content = CheckpointLoader.load_checkpoint(f'{address}/good.pth')
    assert content['state_dict']['a'].tolist() == [1, 1]


def test_no_network() -> None:
    message = _refused(NOWHERE)
    assert message.startswith(f'cannot load weights {NOWHERE}: ')
    assert 'urlopen' not in message


def test_a_file_that_is_not_there(server: tuple[str, Path]) -> None:
    message = _refused(f'{server[0]}/none.pth')
    assert message == f'cannot load weights {server[0]}/none.pth: HTTPError: ' + (
        'HTTP Error 404: File not found'
    )


def test_a_page_in_place_of_weights(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    (folder / 'page.pth').write_text('<html>log in</html>')
    message = _refused(f'{address}/page.pth')
    assert message.startswith(f'weights {address}/page.pth is damaged or not a checkpoint')
    assert not any(path.is_file() for path in tmp_path.glob('cache/**/*'))
    torch.save(dict(a=1), folder / 'page.pth')
    assert CheckpointLoader.load_checkpoint(f'{address}/page.pth') == dict(a=1)


def test_a_damaged_file_in_the_cache_is_named(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    torch.save(dict(a=1), folder / 'a.pth')
    CheckpointLoader.load_checkpoint(f'{address}/a.pth')
    (kept,) = (tmp_path / 'cache' / 'hub' / 'checkpoints').iterdir()
    kept.write_bytes(b'PK')
    message = _refused(f'{address}/a.pth')
    assert message.startswith(f'weights {address}/a.pth, fetched earlier to {kept}, is damaged')


def test_files_of_one_name_at_two_addresses(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    for name, value in [('x/epoch_12.pth', 1), ('y/epoch_12.pth', 2), ('z/net-0123abcd.pth', 3)]:
        (folder / name).parent.mkdir()
        torch.save(dict(a=value), folder / name)
        for _ in range(2):
            assert CheckpointLoader.load_checkpoint(f'{address}/{name}') == dict(a=value)
    names = {path.name for path in (tmp_path / 'cache' / 'hub' / 'checkpoints').iterdir()}
    assert len(names) == 3
    assert 'net-0123abcd.pth' in names  # where torch looks too


def test_a_longer_file_is_refused(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    torch.save(dict(a=1), folder / 'a.pth')
    monkeypatch.setattr(remote_weights, 'MOST_BYTES', 0)
    assert _refused(f'{address}/a.pth').endswith('it has more than 0 bytes')
    assert not any(path.is_file() for path in tmp_path.glob('cache/**/*'))


def test_a_slower_one_too(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = server
    torch.save(dict(a=1), folder / 'a.pth')
    told, open_address = threading.Event(), remote_weights.urlopen

    def open_late(*arguments: Any, **options: Any) -> Any:
        told.wait(60)
        return open_address(*arguments, **options)

    monkeypatch.setattr(remote_weights, 'SECONDS', 0)
    monkeypatch.setattr(remote_weights, 'urlopen', open_late)
    try:
        assert _refused(f'{address}/a.pth').endswith('not complete after 0 seconds')
    finally:
        told.set()
    assert not any(path.is_file() for path in tmp_path.glob('cache/**/*'))


def test_many_at_once(server: tuple[str, Path], tmp_path: Path) -> None:
    """Each rank and worker may find nothing in the cache."""
    address, folder = server
    torch.save(dict(a=torch.arange(10_000)), folder / 'a.pth')
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(remote_weights._load_url, [f'{address}/a.pth'] * 8))
    assert all(torch.equal(each['a'], torch.arange(10_000)) for each in found)
    assert len(list((tmp_path / 'cache' / 'hub' / 'checkpoints').iterdir())) == 1


def test_code_is_refused(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / 'code.pth').write_bytes(pickle.dumps(threading.Thread))
    message = _refused(f'{address}/code.pth')
    assert message.startswith(f'weights {address}/code.pth ')


def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_weights, 'TIMEOUT', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        message = _refused(f'http://127.0.0.1:{listening.getsockname()[1]}/a.pth')
    assert 'timed out' in message
    assert socket.getdefaulttimeout() is None


def test_a_name_says_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    names = dict(vgg=NOWHERE)
    monkeypatch.setattr(mmengine_checkpoint, 'get_external_models', lambda: names)
    message = _refused('open-mmlab://vgg')
    assert message.startswith(f'cannot load weights open-mmlab://vgg ({NOWHERE}): ')


def test_an_unknown_name() -> None:
    message = _refused('open-mmlab://no_such_network')
    assert message == (
        'cannot load weights open-mmlab://no_such_network: MMEngine knows no such name'
    )


def test_guarding_twice_changes_nothing() -> None:
    before = dict(CheckpointLoader._schemes)
    guard_addresses()
    assert before == CheckpointLoader._schemes
    assert len(before) > 5


def test_advice_names_the_setting() -> None:
    start = dict(type='Pretrained', checkpoint='open-mmlab://vgg')
    config = dict(model=dict(backbone=dict(init_cfg=start), pretrained=None), load_from='day.pth')
    assert advise(config, 'cannot load weights open-mmlab://vgg (x)') == (
        '; give a file by --cfg-options model.backbone.init_cfg.checkpoint=FILE, or '
        'none by model.backbone.init_cfg=None'
    )
    assert advise(config, 'checkpoint not found: day.pth') == (
        '; give a file by --cfg-options load_from=FILE, or none by load_from=None'
    )
    assert advise(config, 'disk full') == ''
