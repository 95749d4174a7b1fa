"""When a result counts as done."""

import os
from pathlib import Path

import pytest

from sci_plugins.apis.enhance_files import LOG_NAME, EnhanceLog, FileJob, enhancer_fingerprint
from sci_plugins.models.enhancers import SCIEnhancer, build_enhancer


@pytest.fixture()
def job(tmp_path: Path) -> FileJob:
    (tmp_path / 'a.png').write_bytes(b'dark')
    folder = tmp_path / 'out' / 'x'
    folder.mkdir(parents=True)
    (folder / 'a.png').write_bytes(b'bright')
    (folder / 'a_illumination.png').write_bytes(b'lamp')
    return FileJob(tmp_path / 'a.png', folder / 'a.png', folder / 'a_illumination.png')


@pytest.fixture()
def out(job: FileJob) -> Path:
    return job.target.parent.parent


def test_done_after_add_and_after_reading_again(job: FileJob, out: Path) -> None:
    log = EnhanceLog(out, 'abc')
    assert not log.is_done(job)
    assert not log.is_ours(job.target)
    log.add(job)
    for each in (log, EnhanceLog(out, 'abc')):
        assert each.is_done(job)
        assert each.is_ours(job.target)


def test_another_enhancer(job: FileJob, out: Path) -> None:
    EnhanceLog(out, 'abc').add(job)
    other = EnhanceLog(out, 'def')
    assert not other.is_done(job)
    assert other.is_ours(job.target)
    other.add(job)
    assert EnhanceLog(out, 'def').is_done(job)  # the last line counts
    assert not EnhanceLog(out, 'abc').is_done(job)


def test_a_changed_source(job: FileJob, out: Path) -> None:
    EnhanceLog(out, 'abc').add(job)
    os.utime(job.source, (1, 1))
    assert not EnhanceLog(out, 'abc').is_done(job)


@pytest.mark.parametrize('which', [0, 1])
def test_a_changed_or_missing_result(job: FileJob, out: Path, which: int) -> None:
    log = EnhanceLog(out, 'abc')
    log.add(job)
    job.outputs[which].write_bytes(b'edited by hand')
    assert not log.is_done(job)
    assert not log.is_ours(job.outputs[which])
    job.outputs[which].unlink()
    assert not log.is_done(job)


def test_illumination_wanted_later(job: FileJob, out: Path) -> None:
    log = EnhanceLog(out, 'abc')
    log.add(FileJob(job.source, job.target))
    assert log.is_done(FileJob(job.source, job.target))
    assert not log.is_done(job)


def test_a_line_cut_off_by_a_crash(job: FileJob, out: Path) -> None:
    EnhanceLog(out, 'abc').add(job)
    path = out / LOG_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    log = EnhanceLog(out, 'abc')
    assert not log.is_done(job)
    assert log.is_ours(job.target)  # the line before is whole
    log.add(job)
    assert EnhanceLog(out, 'abc').is_done(job)


def test_a_log_of_something_else(job: FileJob, out: Path) -> None:
    (out / LOG_NAME).write_bytes(b'[1, 2]\nnull\n{"a": 1}\n\xff\xfe\n')
    assert not EnhanceLog(out, 'abc').is_done(job)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9.png')
    target = tmp_path / name
    target.write_bytes(b'bright')
    job = FileJob(target, target)
    EnhanceLog(tmp_path, 'abc').add(job)
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
