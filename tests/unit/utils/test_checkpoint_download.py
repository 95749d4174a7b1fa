"""What servers may send: whole, too long, cut off, letter by letter, nothing."""

import contextlib
import io
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sci_plugins.utils.checkpoint import download

HEAD = b'HTTP/1.1 200 OK\r\n'
LIMITS = dict(most=100, seconds=30.0, silent=10.0)


@contextlib.contextmanager
def _server(pieces: Iterable[bytes], wait: float = 0) -> Iterator[str]:
    """The address of a server that answers once, with a pause between any two pieces."""
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            connection = listening.accept()[0]
            with connection:
                connection.recv(2**16)
                for piece in pieces:
                    connection.sendall(piece)
                    if over.wait(wait):
                        break

    with socket.create_server(('127.0.0.1', 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f'http://127.0.0.1:{listening.getsockname()[1]}/a.pth'
        over.set()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('no_proxy', '*')


def _length(count: int) -> bytes:
    return HEAD + b'Content-Length: %d\r\n\r\n' % count


CHUNKED = HEAD + b'Transfer-Encoding: chunked\r\n\r\n'


@pytest.mark.parametrize(
    'pieces',
    [
        [_length(100), b'x' * 60, b'x' * 40],
        [HEAD + b'\r\n', b'x' * 100],
        [CHUNKED, b'40\r\n' + b'x' * 64 + b'\r\n', b'24\r\n' + b'x' * 36 + b'\r\n0\r\n\r\n'],
    ],
)
def test_whole(pieces: list[bytes]) -> None:
    file = io.BytesIO()
    with _server(pieces) as address:
        download(address, file, **LIMITS)
    assert file.getvalue() == b'x' * 100


def test_a_file_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes(b'abc')
    file = io.BytesIO()
    download((tmp_path / 'a').as_uri(), file, **LIMITS)
    assert file.getvalue() == b'abc'


@pytest.mark.parametrize(
    ('pieces', 'message'),
    [
        ([_length(101), b'x' * 101], 'it has more than 100 bytes'),
        ([_length(10**12), b'x'], 'it has more than 100 bytes'),
        ([HEAD + b'\r\n', b'x' * 101], 'it has more than 100 bytes'),
        ([CHUNKED, b'65\r\n' + b'x' * 101 + b'\r\n0\r\n\r\n'], 'it has more than 100 bytes'),
        ([_length(100), b'x' * 99], 'the connection closed after 99 bytes'),
        ([CHUNKED, b'40\r\n' + b'x' * 9], 'IncompleteRead'),
        ([b'what?\r\n\r\n'], 'BadStatusLine'),
        ([b''], 'Remote end closed connection'),
        ([b'HTTP/1.1 200 ' + b'x' * 2**17], 'LineTooLong'),
        ([b'HTTP/1.1 503 Busy\r\n\r\n'], 'HTTP Error 503: Busy'),
    ],
)
def test_refused(pieces: list[bytes], message: str) -> None:
    with _server(pieces) as address, io.BytesIO() as file:
        with pytest.raises(OSError, match=message):
            download(address, file, **LIMITS)
        assert len(file.getvalue()) <= 100


@pytest.mark.parametrize('begin', [b'', HEAD + b'X: ', HEAD + b'\r\n', CHUNKED])
def test_letter_by_letter(begin: bytes) -> None:
    """No piece is late; a plain call would wait for all of them."""
    with (
        _server([begin, *[b'a'] * 400], wait=0.05) as address,
        io.BytesIO() as file,
        pytest.raises(TimeoutError, match=r'not complete after 0\.3 seconds'),
    ):
        download(address, file, **LIMITS | dict(seconds=0.3))


@pytest.mark.parametrize('begin', [[], [HEAD], [_length(9) + b'x']])
def test_a_silent_server(begin: list[bytes]) -> None:
    with (
        _server([*begin, b''], wait=20) as address,
        io.BytesIO() as file,
        pytest.raises(OSError, match='timed out'),
    ):
        download(address, file, **LIMITS | dict(silent=0.1))
