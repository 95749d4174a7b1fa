"""TensorBoard curves if TensorBoard is installed."""

from importlib.util import find_spec
from typing import Any

from mmengine.logging import print_log
from mmengine.visualization import TensorboardVisBackend as _TensorboardVisBackend

from sci_plugins.registry import VISBACKENDS


@VISBACKENDS.register_module()
class TensorboardVisBackend(_TensorboardVisBackend):
    """MMEngine's backend; without the package ``tensorboard`` it logs that and does nothing.

    The same scalars are in ``vis_data/scalars.json``, which MMEngine's ``LocalVisBackend`` writes.
    """

    def _init_env(self) -> None:
        if find_spec('tensorboard') is not None:
            return super()._init_env()
        self._tensorboard = _Nothing()
        print_log(
            'no TensorBoard curves, because it is not installed: pip install "sci_plugins[train]"; '
            'the scalars are in vis_data/scalars.json',
            logger='current',
        )


class _Nothing:
    """Accepts every call of a writer and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None
