"""What a user sees at the command line when something is wrong."""

import argparse
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch._utils import ExceptionWrapper

from sci_plugins.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingDependencyError,
    SciPluginsError,
)
from sci_plugins.utils.cli import (
    TRACEBACK_VARIABLE,
    add_device_argument,
    check_arguments,
    quiet_hosts,
    run,
    text_table,
)

ERRORS = [SciPluginsError, ConfigError, DataError, CheckpointError, MissingDependencyError]


def _raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(('value', 'code'), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_the_tool_s_answer_is_the_exit_code(value: int | None, code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        run(lambda: value)
    assert caught.value.code == code


def _stderr_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        run(_raising(error))
    out, err = capsys.readouterr()
    assert out == ''
    return caught.value.code, err  # type: ignore[return-value]


@pytest.mark.parametrize('kind', [*ERRORS, OSError, FileNotFoundError, PermissionError])
def test_a_user_s_mistake_is_one_line(kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = _stderr_of(kind('what is wrong\n   and where'), capsys)
    assert code == 2
    assert err == 'error: what is wrong and where\n'


def test_an_error_without_words_has_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert _stderr_of(TimeoutError(), capsys) == (2, 'error: TimeoutError\n')


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        Path('/no/such/file').read_bytes()

    with pytest.raises(SystemExit):
        run(main)
    assert '/no/such/file' in capsys.readouterr().err


@pytest.mark.parametrize('kind', [RuntimeError, ValueError, KeyError, AssertionError])
def test_a_defect_of_ours_keeps_its_traceback(kind: type) -> None:
    with pytest.raises(kind, match='defect'):
        run(_raising(kind('defect')))


def test_the_traceback_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACEBACK_VARIABLE, '1')
    with pytest.raises(ConfigError, match='what is wrong'):
        run(_raising(ConfigError('what is wrong')))


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert _stderr_of(KeyboardInterrupt(), capsys) == (130, 'interrupted\n')


def test_argparse_keeps_its_exit_code() -> None:
    with pytest.raises(SystemExit) as caught:
        run(_raising(SystemExit(2)))
    assert caught.value.code == 2


def test_a_worker_s_traceback_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        try:
            raise DataError('photo.png: is no image')
        except DataError:
            # what the main process does with a data loader worker's error
            sent = ExceptionWrapper(where='in DataLoader worker process 0')
        sent.reraise()

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 2
    assert capsys.readouterr().err == 'error: photo.png: is no image\n'


def test_a_misspelt_type_in_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    from mmengine.registry import MODELS

    def main() -> None:
        MODELS.build(dict(type='RetinaNett'))

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('error: RetinaNett is not in the ')
    assert err.count('\n') == 1


def test_a_misspelt_argument_in_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    from mmengine.registry import MODELS

    def main() -> None:
        MODELS.build(dict(type='ImgDataPreprocessor', means=[1]))

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('error: ImgDataPreprocessor.__init__() got an unexpected ')
    assert err.count('\n') == 1


def test_code_that_torch_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    error = pickle.UnpicklingError('Weights only load failed.\nGLOBAL os.system was not')
    code, err = _stderr_of(error, capsys)
    assert code == 2
    assert 'os.system' in err
    assert err.count('\n') == 1


def test_every_error_of_ours_has_the_builtin_kind_that_fits() -> None:
    pairs = {
        ConfigError: ValueError,
        DataError: ValueError,
        CheckpointError: RuntimeError,
        MissingDependencyError: ImportError,
    }
    for ours, builtin in pairs.items():
        assert issubclass(ours, SciPluginsError)
        assert issubclass(ours, builtin)


def test_a_table_is_aligned() -> None:
    rows = [('夜', 1.5, 'yes', '12.25 ms'), ('3-3-3', 100, '-', '3.5 ms'), (2, '-', '', '-')]
    assert text_table(('', 'n', 'fast', 'time'), rows).split('\n') == [
        '         n  fast      time',
        '夜     1.5  yes   12.25 ms',
        '3-3-3  100  -       3.5 ms',
        '2        -               -',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a', '--out', ''], 'empty argument after --out'),
        ([' '], 'empty argument'),
        (['a\0b'], r"control characters, got 'a\x00b'"),
        (['a\nb.png'], r"control characters, got 'a\nb.png'"),
        (['\udcff.png'], r"control characters, got '\udcff.png'"),
    ],
)
def test_arguments_that_are_no_text(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_arguments(arguments)
    assert str(caught.value).endswith(message)


def test_arguments_in_any_language() -> None:
    check_arguments(['夜.png', 'photo de nuit', 'Screenshot 9.41\u202fPM.png', '-1', '--a=b'])


def test_arguments_are_checked_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('sys.argv', ['tool', '--out', ''])
    code, err = _stderr_of(AssertionError('not called'), capsys)
    assert (code, err) == (2, 'error: empty argument after --out\n')


def test_a_message_that_quotes_a_very_long_name(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = _stderr_of(ConfigError(f'unknown {"x" * 5000}; known: a, b'), capsys)
    assert len(err) < 1100
    assert err.startswith('error: unknown xxx')
    assert err.endswith('xxx; known: a, b\n')


def test_hosts_are_quiet_but_for_each_warning_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / 'console.log'
    with quiet_hosts(log):
        for number in (1, 2):
            print('loading annotations', number)
            print(f'11/29 10:0{number} - mmengine - WARNING - two label maps have no image')
            print('11/29 - mmengine - WARNING - The prefix is not set in metric class X.')
    assert capsys.readouterr().out.split(' - ')[0] == '11/29 10:01'
    assert log.read_text().count('\n') == 6
    with pytest.raises(TypeError), quiet_hosts(log):
        raise TypeError(print('before the error'))
    assert log.read_text().endswith('before the error\n')
    with quiet_hosts(log, verbose=True):
        print('all')
    with quiet_hosts(tmp_path / 'no folder' / 'console.log'):
        print('nowhere')
    assert capsys.readouterr().out == 'all\n'
    assert not (tmp_path / 'no folder').exists()


def test_the_device_may_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    add_device_argument(parser)
    for there in (False, True):
        monkeypatch.setattr('torch.cuda.is_available', lambda there=there: there)
        assert parser.parse_args(['--device', 'auto']).device == ('cuda' if there else 'cpu')
    assert parser.parse_args([]).device == 'cpu'
    assert parser.parse_args(['--device', 'cuda:1']).device == 'cuda:1'


def test_a_log_file_gets_the_ends_of_a_bar_alone() -> None:
    code = (
        'import time; from sci_plugins.utils.cli import run\n'
        'def main():\n'
        '    from tqdm import tqdm\n'
        '    for _ in tqdm(range(5)):\n'
        '        time.sleep(0.12)\n'
        'run(main)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '5/5' in done.stderr
    assert done.stderr.count('|') == 4  # two updates, each a bar between two strokes
