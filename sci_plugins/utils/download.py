"""Files by address: within a size and a time, over and above what ``torch.hub`` looks at."""

import threading
from http.client import HTTPException
from typing import IO
from urllib.request import Request, urlopen

from torch.hub import tqdm

from sci_plugins.errors import tell_cause
from sci_plugins.utils.files import write_all
from sci_plugins.version import __version__


def download(
    address: str, file: IO[bytes], *, most: int, seconds: float, silent: float, bar: bool = False
) -> None:
    """Write what an address gives to an open file; after an error it holds a part.

    Args:
        address: ``http://``, ``https://``, ``ftp://`` or ``file://``.
        most: bytes, of which nothing longer is taken.
        seconds: for all of it, however the server answers.
        silent: seconds that a server may stay silent.
        bar: show how far it is.

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
