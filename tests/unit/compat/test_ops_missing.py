"""The one line for an op that is not there: which, what there is, what to do."""

import shlex

import pytest

from sci_plugins.compat.ops import INSTALL, MissingOpError
from sci_plugins.errors import SciPluginsError


def test_the_line_names_the_op_what_there_is_and_the_way_out() -> None:
    error = MissingOpError('carafe_forward', ['nms', 'roi_align_forward'])
    message = str(error)
    assert 'mmcv op carafe_forward' in message
    assert 'only nms, roi_align_forward;' in message
    assert message.endswith(INSTALL)
    assert '\n' not in message


def test_it_is_an_error_of_ours_and_of_a_feature_that_is_missing() -> None:
    for kind in (SciPluginsError, NotImplementedError):
        with pytest.raises(kind):
            raise MissingOpError('carafe_forward', [])


def test_the_command_compiles_and_takes_no_wheel_from_a_cache() -> None:
    words = shlex.split(INSTALL)
    assert words[:2] == ['pip', 'install']
    assert {'--no-build-isolation', '--no-cache-dir', '--force-reinstall'} < set(words)
    assert words[-1] == 'onedl-mmcv'
