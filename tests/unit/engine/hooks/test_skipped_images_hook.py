"""Unreadable images: skipped, counted, named at the end."""

from pathlib import Path

from sci_plugins.engine.hooks import SkippedImagesHook
from tests.tiny_training import make_config, make_runner


def test_each_is_told_once_and_all_at_the_end(tmp_path: Path, monkeypatch) -> None:
    config = make_config(tmp_path)
    images = tmp_path / 'images'
    (images / '1.png').write_text('no image')
    (images / '3.png').write_bytes(b'')
    runner = make_runner(config)
    lines: list[str] = []
    monkeypatch.setattr(runner.logger, 'warning', lambda text: lines.append(text))
    runner.register_hook(SkippedImagesHook())
    runner.train()
    told = [line for line in lines if line.startswith('skipped: ')]
    assert len(told) == 2
    (summary,) = [line for line in lines if line.startswith('skipped 2 of')]
    assert summary.startswith('skipped 2 of 5 images, which cannot be read:\n')
    assert [line.strip().split(' ')[0] for line in summary.split('\n')[1:]] == [
        str(images / '1.png'),
        str(images / '3.png'),
    ]
    assert runner.epoch == 3


def test_nothing_is_said_where_nothing_was_skipped(tmp_path: Path, monkeypatch) -> None:
    runner = make_runner(make_config(tmp_path))
    lines: list[str] = []
    monkeypatch.setattr(runner.logger, 'warning', lambda text: lines.append(text))
    runner.register_hook(SkippedImagesHook())
    runner.train()
    assert not [line for line in lines if 'skipped' in line]


def test_other_batches_pass() -> None:
    hook = SkippedImagesHook()
    for batch in (None, [1, 2], dict(inputs=1), dict(data_samples=['a string'])):
        hook.after_train_iter(None, 0, batch)
    assert hook.skipped == {}
