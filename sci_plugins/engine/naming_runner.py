"""MMEngine's Runner, except that an error in a host's files names the file.

Label maps without an image are named too: mmseg's own data sets leave them out.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset, Compose
from mmengine.logging import print_log
from mmengine.runner import Runner
from PIL import UnidentifiedImageError
from torch.utils.data import DataLoader

from sci_plugins.datasets.night_layouts import FolderPair
from sci_plugins.errors import CheckpointError, DataError, SciPluginsError, first_line, tell_cause
from sci_plugins.utils.checkpoint import advise
from sci_plugins.utils.cli import frames_of, is_ours


def tell_lone_labels(dataset: Any) -> None:
    """Warn of the label maps that a data set in folders does not use.

    mmseg lists the images of a folder and asks for their label maps; an image that is
    missing is not missed. Nothing is said of a set that is chosen by a list, and of
    folders that are not on this machine; the same folders are looked through once.

    Args:
        dataset: any data set, also one with others inside.
    """
    for pair in _folder_pairs(dataset):
        _tell(pair)


@cache  # a comparison loads one set dozens of times
def _tell(pair: FolderPair) -> None:
    alone = pair.labels_without_image(pair.find_images())
    if alone:
        print_log(
            f'{alone[0]}: has no image in {pair.images} ({len(alone)} such label maps), not used',
            logger='current',
            level=logging.WARNING,
        )


def _folder_pairs(dataset: Any) -> Iterator[FolderPair]:
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
        if inner is not None:
            yield from _folder_pairs(inner)
    prefix = getattr(dataset, 'data_prefix', None) or {}
    images, labels = prefix.get('img_path'), prefix.get('seg_map_path')
    end = getattr(dataset, 'img_suffix', None)
    label_end = getattr(dataset, 'seg_map_suffix', None)
    if images and labels and end and label_end and not getattr(dataset, 'ann_file', ''):
        yield FolderPair(Path(images), Path(labels), end, label_end)


class NamingRunner(Runner):
    """Raises ``DataError`` where a host's data set or loader would raise anything.

    The hosts' own readers say "need at least one array to concatenate" for a folder
    without images, and ``!buf.empty()`` for an empty file, in a worker process with
    the file's name nowhere. Weights to start from that cannot be had raise
    ``CheckpointError`` with the setting that names them. The Runner builds and runs as
    it always does.
    """

    def _init_model_weights(self) -> None:
        with self._naming_the_setting():
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        """As in MMEngine.

        Raises:
            CheckpointError: if the weights cannot be had, saying how to give others.
        """
        with self._naming_the_setting():
            super().load_or_resume()

    @contextmanager
    def _naming_the_setting(self) -> Iterator[None]:
        try:
            yield
        except (CheckpointError, FileNotFoundError) as error:
            advice = '' if self._resume else advise(self.cfg.to_dict(), str(error))
            if not advice:
                raise
            raise CheckpointError(f'{error}{advice}') from error

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As in MMEngine; label maps without an image are named in the log.

        Raises:
            DataError: if the data set is empty, or its annotations cannot be read.
        """
        try:
            loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        except Exception as error:
            message = _describe_data_set(error)
            if message is None:
                raise
            raise DataError(message) from error
        if isinstance(loader.dataset, BaseDataset) and len(loader.dataset) == 0:
            raise DataError(_tell_empty(loader.dataset))  # not serialised
        name_loaders(loader.dataset)
        tell_lone_labels(loader.dataset)
        return loader


def name_loaders(dataset: Any) -> None:
    """Let each step of a data set's pipelines that loads a file name it on failure."""
    for pipeline in _pipelines(dataset):
        pipeline.transforms = [
            _NamedLoader(step) if _is_loader(step) else step for step in pipeline.transforms
        ]


def _pipelines(dataset: Any) -> Iterator[Compose]:
    if isinstance(getattr(dataset, 'pipeline', None), Compose):
        yield dataset.pipeline
    wrapped = [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]
    for inner in wrapped:
        if inner is not None:
            yield from _pipelines(inner)


def _is_loader(step: Any) -> bool:
    return type(step).__name__.startswith('Load')


class _NamedLoader:
    """A step ``Load…`` of a pipeline; an error in it becomes a ``DataError``."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __call__(self, results: dict) -> Any:
        try:
            return self.loader(results)
        except Exception as error:
            # Ours, and a missing file's, say all by themselves.
            if isinstance(error, SciPluginsError) or getattr(error, 'filename', None):
                raise
            path = self._path(results)
            if path is None:
                raise
            raise DataError(_tell_file(path, error)) from error

    def _path(self, results: dict) -> str | None:
        names = ['img_path']
        if 'Annotations' in type(self.loader).__name__:
            names.insert(0, 'seg_map_path')
        return next((str(results[name]) for name in names if results.get(name)), None)

    def __repr__(self) -> str:
        return repr(self.loader)


def _tell_file(path: str, error: Exception) -> str:
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return f'{path} is empty (0 bytes)'
    if path in str(error):
        return first_line(error)
    if isinstance(error, UnidentifiedImageError):  # its message is a memory address
        return f'{path} is no image that can be read'
    return f'{path} cannot be read: {tell_cause(error)}'


def _describe_data_set(error: Exception) -> str | None:
    """One line for an error while a data set read its annotations, if it is one."""
    frames = frames_of(error)
    if isinstance(error, SciPluginsError | OSError) or is_ours(frames[-1]):
        return None
    found = [
        frame.f_locals['self']
        for frame in frames
        if frame.f_code.co_name == 'full_init'
        and isinstance(frame.f_locals.get('self'), BaseDataset)
    ]
    if not found:
        return None
    if frames[-1].f_code.co_name == '_serialize_data':
        return _tell_empty(found[-1])
    kind, where = type(found[-1]).__name__, _where(found[-1])
    return f'{kind} cannot read its annotations{where}: {tell_cause(error)}'


def _tell_empty(dataset: BaseDataset) -> str:
    kind, where = type(dataset).__name__, _where(dataset)
    return f'{kind} has no images{where}: all missing, or filtered out'


def _where(dataset: BaseDataset) -> str:
    prefixes = [value for value in dataset.data_prefix.values() if value]
    place = dataset.ann_file or (prefixes[0] if prefixes else '')
    return f' in {place}' if place else ''
