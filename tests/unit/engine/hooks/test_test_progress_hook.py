"""The progress bar counts batches and goes away."""

from types import SimpleNamespace

import pytest

from sci_plugins.engine.hooks import TestProgressHook


def test_the_bar_reaches_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    hook = TestProgressHook('as is | none')
    runner = SimpleNamespace(test_dataloader=[1, 2, 3])
    hook.before_test(runner)
    for step in range(3):
        hook.after_test_iter(runner, step)
    hook.after_test(runner)
    err = capsys.readouterr().err
    assert 'as is | none' in err
    assert '3/3' in err


def test_only_one_process_shows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = 'sci_plugins.engine.hooks.test_progress_hook.is_main_process'
    monkeypatch.setattr(module, lambda: False)
    hook = TestProgressHook('label')
    runner = SimpleNamespace(test_dataloader=[1])
    hook.before_test(runner)
    hook.after_test_iter(runner, 0)
    hook.after_test(runner)
    assert capsys.readouterr().err == ''


def test_a_test_that_fails_before_it_begins() -> None:
    """Closing what was never opened would hide why."""
    TestProgressHook().after_test(SimpleNamespace())
