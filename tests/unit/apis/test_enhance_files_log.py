"""When a result counts as done."""

import json
import linecache
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sci_plugins.apis import enhance_files
from sci_plugins.apis.enhance_files import LOG_NAME, EnhanceLog, FileJob, enhancer_fingerprint
from sci_plugins.errors import DataError
from sci_plugins.models.enhancers import BaseEnhancer, GatedEnhancer, SCIEnhancer, build_enhancer


@pytest.fixture()
def job(tmp_path: Path) -> FileJob:
    (tmp_path / 'a.png').write_bytes(b'dark')
    folder = tmp_path / 'out' / 'x'
    folder.mkdir(parents=True)
    (folder / 'a.png').write_bytes(b'bright')
    (folder / 'a_illumination.png').write_bytes(b'lamp')
    return FileJob(tmp_path / 'a.png', folder / 'a.png', folder / 'a_illumination.png')


def _log(log: EnhanceLog, job: FileJob) -> None:
    """As if the files that are there were about to be written."""
    log.begin(job, {path: memoryview(path.read_bytes()) for path in job.outputs})


@pytest.fixture()
def out(job: FileJob) -> Path:
    return job.target.parent.parent


def test_done_after_add_and_after_reading_again(job: FileJob, out: Path) -> None:
    log = EnhanceLog(out, 'abc')
    assert not log.is_done(job)
    assert not log.is_ours(job.target)
    _log(log, job)
    for each in (log, EnhanceLog(out, 'abc')):
        assert each.is_done(job)
        assert each.is_ours(job.target)


def test_what_another_run_writes_meanwhile(job: FileJob, out: Path) -> None:
    ours, other = EnhanceLog(out, 'abc'), EnhanceLog(out, 'abc')
    assert ours.catch_up() == 0  # there is none
    _log(other, job)
    assert not ours.is_ours(job.target)
    size = ours.path.stat().st_size
    assert ours.catch_up() == size
    assert ours.is_done(job)
    _log(ours, job)
    for log in (ours, other):
        assert log.catch_up() == 2 * size


def test_another_enhancer(job: FileJob, out: Path) -> None:
    _log(EnhanceLog(out, 'abc'), job)
    other = EnhanceLog(out, 'def')
    assert not other.is_done(job)
    assert other.is_ours(job.target)
    _log(other, job)
    assert EnhanceLog(out, 'def').is_done(job)  # the last line counts
    assert not EnhanceLog(out, 'abc').is_done(job)


def test_a_changed_source(job: FileJob, out: Path) -> None:
    _log(EnhanceLog(out, 'abc'), job)
    os.utime(job.source, (1, 1))
    assert not EnhanceLog(out, 'abc').is_done(job)


@pytest.mark.parametrize('which', [0, 1])
def test_a_changed_or_missing_result(job: FileJob, out: Path, which: int) -> None:
    log = EnhanceLog(out, 'abc')
    _log(log, job)
    job.outputs[which].write_bytes(b'edited by hand')
    assert not log.is_done(job)
    assert not log.is_ours(job.outputs[which])
    job.outputs[which].unlink()
    assert not log.is_done(job)


def test_illumination_wanted_later(job: FileJob, out: Path) -> None:
    log = EnhanceLog(out, 'abc')
    _log(log, FileJob(job.source, job.target))
    assert log.is_done(FileJob(job.source, job.target))
    assert not log.is_done(job)


@pytest.fixture()
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(enhance_files, 'print_log', lambda line, *_: lines.append(line))
    return lines


def test_a_line_cut_off_by_a_crash(job: FileJob, out: Path, told: list[str]) -> None:
    _log(EnhanceLog(out, 'abc'), job)
    path = out / LOG_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    log = EnhanceLog(out, 'abc')
    assert not log.is_done(job)
    assert log.is_ours(job.target)  # the line before is whole
    _log(log, job)
    assert EnhanceLog(out, 'abc').is_done(job)
    assert told == []


def test_a_log_of_something_else(job: FileJob, out: Path, told: list[str]) -> None:
    (out / LOG_NAME).write_bytes(b'\n[1, 2]\nnull\n{"a": 1}\n\xff\xfe\n')
    assert not EnhanceLog(out, 'abc').is_done(job)
    assert told == [
        f'{out / LOG_NAME}, line 2: expected an entry of this log, ignored 4 such lines'
    ]


@pytest.mark.parametrize(
    'change',
    [
        lambda line: line.replace('"output_bytes": 6', '"output_bytes": "6"'),
        lambda line: line.replace('"output": "x/a.png"', '"output": null'),
        lambda line: line.replace('"output_bytes"', '"bytes"'),
        lambda line: line[5:],
        lambda line: '[' * 100_000,
        lambda line: line.replace('6', '6' * 5000),
        lambda line: json.dumps([json.loads(line)]),
    ],
)
def test_a_line_that_was_edited(
    job: FileJob, out: Path, told: list[str], change: Callable[[str], str]
) -> None:
    _log(EnhanceLog(out, 'abc'), job)
    path = out / LOG_NAME
    first, *others = path.read_text().splitlines()
    path.write_text('\n'.join([change(first), *others]) + '\n')
    log = EnhanceLog(out, 'abc')
    assert not log.is_ours(job.target)
    assert log.is_ours(job.outputs[1])
    assert not log.is_done(job)
    assert len(told) == 1
    assert 'line 1: expected an entry of this log, ignored 1 such lines' in told[0]


def test_a_log_in_utf_16_and_one_that_is_no_file(job: FileJob, out: Path, told: list[str]) -> None:
    path = out / LOG_NAME
    _log(EnhanceLog(out, 'abc'), job)
    path.write_bytes(path.read_text().encode('utf-16'))
    assert not EnhanceLog(out, 'abc').is_done(job)
    assert len(told) == 1
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r'enhance_log\.jsonl: expected a regular file, got a'):
        EnhanceLog(out, 'abc')


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9.png')
    target = tmp_path / name
    target.write_bytes(b'bright')
    job = FileJob(target, target)
    _log(EnhanceLog(tmp_path, 'abc'), job)
    assert EnhanceLog(tmp_path, 'abc').is_done(job)


def test_fingerprint_tells_enhancers_apart() -> None:
    plain = SCIEnhancer()
    same = SCIEnhancer()
    same.load_state_dict(plain.state_dict())
    assert enhancer_fingerprint(plain) == enhancer_fingerprint(same)
    names = ('none', 'gamma/0.4', 'gamma/0.5', 'clahe', 'histeq')
    prints = [enhancer_fingerprint(build_enhancer(name)) for name in names]
    prints += [enhancer_fingerprint(each) for each in (plain, SCIEnhancer())]
    assert len(set(prints)) == len(names) + 2


class Gamma(BaseEnhancer):
    """A user's: nothing of it is printed, and it keeps what it does in many ways."""

    def __init__(self, gamma: float, table: Any = None) -> None:
        super().__init__()
        self.function = lambda image: image**gamma
        self.shift = 0.0
        self.register_buffer('hidden', torch.zeros(()), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.function(image)

    def extra_repr(self) -> str:
        return ''


def test_fingerprint_of_a_user_s_enhancer() -> None:
    def changed(name: str, value: Any) -> Gamma:
        enhancer = Gamma(0.9)
        setattr(enhancer, name, value)
        return enhancer

    assert repr(Gamma(0.9)) == repr(Gamma(0.1))
    assert enhancer_fingerprint(Gamma(0.9)) == enhancer_fingerprint(Gamma(0.9).train())
    others = [
        Gamma(0.9),
        Gamma(0.1),
        Gamma(0.9, [1]),
        Gamma(0.9, torch.zeros(2)),
        Gamma(0.9, torch.ones(2)),
        changed('shift', 1.0),
        changed('hidden', torch.ones(())),
        GatedEnhancer(Gamma(0.9)),
        GatedEnhancer(Gamma(0.1)),
    ]
    assert len({enhancer_fingerprint(each) for each in others}) == len(others)
    same = enhancer_fingerprint(GatedEnhancer('gamma/0.5'))
    assert same == enhancer_fingerprint(GatedEnhancer(build_enhancer('gamma/0.5')))


def test_fingerprint_of_code_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from sci_plugins import BaseEnhancer
class Doubler(BaseEnhancer):
    def forward(self, image):
        return (2 * image).clamp(0, 1)
"""
    monkeypatch.syspath_prepend(tmp_path)
    prints = []
    for number in ('2', '22', '2'):
        linecache.clearcache()
        (tmp_path / 'changing_file.py').write_text(code.replace('2 *', f'{number} *'))
        prints.append(enhancer_fingerprint(build_enhancer('changing_file.Doubler')))
        del sys.modules['changing_file']
    assert prints[0] == prints[2] != prints[1]


def test_killed_before_the_file_is_there(job: FileJob, out: Path) -> None:
    job.target.unlink()
    EnhanceLog(out, 'abc').begin(job, {job.target: memoryview(b'brighter')})
    log = EnhanceLog(out, 'abc')
    assert not log.is_done(job)
    assert not log.is_ours(job.target)  # there is none: nothing to refuse


def test_killed_before_an_older_result_is_replaced(job: FileJob, out: Path) -> None:
    """The result that is there is ours, by the line before the last."""
    _log(EnhanceLog(out, 'abc'), job)
    EnhanceLog(out, 'def').begin(job, {job.target: memoryview(b'brighter still')})
    log = EnhanceLog(out, 'def')
    assert not log.is_done(job)
    assert log.is_ours(job.target)
    job.target.write_bytes(b'brighter still')
    assert log.is_ours(job.target)
