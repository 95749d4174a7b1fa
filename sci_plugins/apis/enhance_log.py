"""What was written with which settings, so that a run can be taken up again."""

import hashlib
import json
from pathlib import Path
from threading import Lock
from typing import Any

from sci_plugins.apis.file_jobs import FileJob
from sci_plugins.models.enhancers.base import BaseEnhancer

#: Name of the log in the output folder.
LOG_NAME = 'enhance_log.jsonl'


def enhancer_fingerprint(enhancer: BaseEnhancer) -> str:
    """Short hash of an enhancer's kind, its arguments as printed and its weights."""
    digest = hashlib.sha256(f'{type(enhancer).__qualname__} {enhancer!r}'.encode())
    for name, value in sorted(enhancer.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class EnhanceLog:
    """The file ``enhance_log.jsonl`` of an output folder, one line per file written.

    A result counts as done while its file has the size that was logged, its source
    has the size and time that were logged, and the enhancer is the same.

    Args:
        out_dir: output folder; made when the first line is written.
        enhancer: hash of the enhancer, see :func:`enhancer_fingerprint`.
    """

    def __init__(self, out_dir: Path, enhancer: str) -> None:
        self.path = out_dir / LOG_NAME
        self.enhancer = enhancer
        self._lock = Lock()
        self._cut_off = False
        self._entries = self._read()

    def is_done(self, job: FileJob) -> bool:
        """Whether all files of ``job`` are there and up to date."""
        wanted = self._state(job)
        return all(
            self.is_ours(path)
            and wanted.items() <= self._entries[self._key(path)].items()
            for path in job.outputs
        )

    def is_ours(self, path: Path) -> bool:
        """Whether ``path`` exists as an earlier run has left it."""
        entry = self._entries.get(self._key(path))
        return (
            entry is not None
            and path.is_file()
            and entry.get('output_bytes') == path.stat().st_size
        )

    def add(self, job: FileJob) -> None:
        """Log that all files of ``job`` have been written."""
        with self._lock, open(self.path, 'a', encoding='utf-8') as file:
            if self._cut_off:
                file.write('\n')
                self._cut_off = False
            for path in job.outputs:
                key = self._key(path)
                entry = self._state(job) | dict(output_bytes=path.stat().st_size)
                self._entries[key] = entry
                line = dict(output=key, source=str(job.source), **entry)
                file.write(json.dumps(line) + '\n')

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path.parent).as_posix()

    def _state(self, job: FileJob) -> dict[str, Any]:
        source = job.source.stat()
        return dict(
            source_bytes=source.st_size,
            source_time_ns=source.st_mtime_ns,
            enhancer=self.enhancer,
        )

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.is_file():
            return {}
        text = self.path.read_text(encoding='utf-8', errors='replace')
        self._cut_off = not text.endswith('\n')
        entries = [entry for line in text.split('\n') if (entry := _parse(line))]
        return {entry['output']: entry for entry in entries}


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # cut off by a crash: that file is simply done again
        return None
    return entry if isinstance(entry, dict) and 'output' in entry else None
