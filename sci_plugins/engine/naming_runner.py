"""MMEngine's Runner, except that it names files with errors, and label maps without an image."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset, Compose
from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.registry import DATASETS, METRICS, Registry
from mmengine.runner import Runner
from PIL import UnidentifiedImageError
from torch.utils.data import DataLoader

from sci_plugins.compat import make_printable
from sci_plugins.datasets.coco_check import check_coco
from sci_plugins.datasets.night_layouts import FolderPair
from sci_plugins.engine.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from sci_plugins.errors import CheckpointError, DataError, SciPluginsError, first_line, tell_cause
from sci_plugins.evaluation.conditions import data_set_configs
from sci_plugins.registry import is_type
from sci_plugins.utils.checkpoint import advise
from sci_plugins.utils.files import MARK, is_ours, write_atomically
from sci_plugins.utils.model_parts import data_sets_in
from sci_plugins.version import __version__


def tell_lone_labels(dataset: Any) -> None:
    """Warn of label maps without an image in a data set's folders, or in those of sets inside it.

    mmseg looks for the label map of each image alone. Data sets chosen by a list and folders on
    another machine are not checked.
    """
    for each in data_sets_in(dataset):
        prefix = getattr(each, 'data_prefix', None) or {}
        images, labels = prefix.get('img_path'), prefix.get('seg_map_path')
        end, label_end = (getattr(each, name, '') for name in ('img_suffix', 'seg_map_suffix'))
        if images and labels and end and label_end and not getattr(each, 'ann_file', ''):
            _tell(FolderPair(Path(images), Path(labels), end, label_end))


@cache  # a comparison loads one set dozens of times
def _tell(pair: FolderPair) -> None:
    if alone := pair.labels_without_image(pair.find_images()):
        text = f'{alone[0]} has no image in {pair.images}: ignored {len(alone)} such label maps'
        print_log(text, logger='current', level=logging.WARNING)


class NamingRunner(Runner):
    """MMEngine's Runner with errors that name the file they come from.

    The hosts say "need at least one array to concatenate" for a folder without images: what they
    cannot read raises ``DataError``, and so does a label map of another size than its image, in
    :meth:`train`, :meth:`val` and :meth:`test`. Initial weights that cannot be loaded raise
    ``CheckpointError`` with the setting that names them.
    """

    _batch: Any = None

    @classmethod
    def from_cfg(cls, cfg: Any) -> 'NamingRunner':
        """As in MMEngine, for any config that it reads."""
        make_printable(cfg)
        return super().from_cfg(cfg)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """As in MMEngine, except that local checkpoints are whole or not there."""
        hooks = dict(hooks or {})
        given = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))
        if is_type(given, 'CheckpointHook'):
            given = {key: value for key, value in given.items() if value is not None}
            if not given.keys() & {'backend_args', 'file_client_args'}:
                hooks['checkpoint'] = given | dict(type=AtomicCheckpointHook)
        super().register_default_hooks(hooks)

    @master_only
    def dump_config(self) -> None:
        """Write the whole config into the work dir, as MMEngine does, but over no user's file."""
        path = Path(self.work_dir, f'{Path(self.cfg.filename or self.timestamp).stem}.py')
        if path.exists() and not is_ours(path):
            whole = Path(self._log_dir, 'vis_data', 'config.py')
            print_log(f'{path} stays as it is; the whole config is in {whole}', logger='current')
        else:
            write_atomically(path, f'# {MARK} {__version__}\n{self.cfg.pretty_text}')

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """As in MMEngine; keeps the batch that is about to be worked on."""
        if fn_name in ('before_train_iter', 'before_val_iter', 'before_test_iter'):
            self._batch = kwargs.get('data_batch')
        super().call_hook(fn_name, **kwargs)

    def train(self) -> Any:
        with self._naming_the_cause():
            return super().train()

    def val(self) -> Any:
        with self._naming_the_cause():
            return super().val()

    def test(self) -> Any:
        with self._naming_the_cause():
            return super().test()

    @contextmanager
    def _naming_the_cause(self) -> Iterator[None]:
        """An error names the setting of the weights, or the label map, that it comes from."""
        try:
            yield
        except (CheckpointError, FileNotFoundError) as error:
            advice = '' if self._resume else advise(self.cfg.to_dict(), str(error))
            if not advice:
                raise
            raise CheckpointError(f'{error}{advice}') from error
        except (IndexError, RuntimeError) as error:
            message = _describe_label_maps(error, self._batch)
            if message is None:
                raise
            raise DataError(message) from error
        finally:
            self._batch = None

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As in MMEngine, but warns of label maps without an image.

        ``DataError`` if the data set is empty, or its annotations cannot be read or are faulty.
        """
        for each in data_set_configs(_get(dataloader, 'dataset')):
            _check_coco(each, DATASETS)
        try:
            loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        except (SciPluginsError, OSError):
            raise
        except Exception as error:
            message = _describe_data_set(_get(dataloader, 'dataset'))
            if message is None:
                raise
            raise DataError(message) from error
        if isinstance(loader.dataset, BaseDataset) and len(loader.dataset) == 0:
            raise DataError(_tell_empty(loader.dataset))  # not serialised
        name_loaders(loader.dataset)
        tell_lone_labels(loader.dataset)
        return loader

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        """As in MMEngine; ``DataError`` if a metric's annotations are not what COCO's must be."""
        metrics = _get(evaluator, 'metrics') or evaluator
        for each in metrics if isinstance(metrics, list | tuple) else [metrics]:
            _check_coco(each, METRICS)
        return super().build_evaluator(evaluator)


def _get(config: Any, key: str) -> Any:
    return config.get(key) if isinstance(config, Mapping) else None


#: In COCO's format, and their derivatives that are not.
_OF_COCO = {'CocoDataset', 'CocoMetric'}
_NOT_OF_COCO = {'CocoPanopticDataset', 'LVISV05Dataset', 'LVISMetric'}


def _check_coco(config: Any, registry: Registry) -> None:
    """Check the annotation file of what a config builds, if that is COCO's or a derivative."""
    file, kind = _get(config, 'ann_file'), _get(config, 'type')
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(config.get('_scope_')) as known:
            kind = known.get(kind)
    names = {base.__name__ for base in getattr(kind, '__mro__', ())}
    if file and names & _OF_COCO and not names & _NOT_OF_COCO:
        path = os.path.join(config.get('data_root') or '', file)
        masks = any(_get(step, 'with_mask') for step in config.get('pipeline') or ())
        check_coco(path, 'CocoMetric' in names, masks or 'segm' in (config.get('metric') or ()))


def name_loaders(dataset: Any) -> None:
    """Make each ``Load…`` step of a data set's pipelines name its file on failure."""
    for each in data_sets_in(dataset):
        pipeline = getattr(each, 'pipeline', None)
        if isinstance(pipeline, Compose):
            pipeline.transforms = [
                _NamedLoader(step) if type(step).__name__.startswith('Load') else step
                for step in pipeline.transforms
            ]


class _NamedLoader:
    """A ``Load…`` step whose errors become ``DataError``."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __call__(self, results: dict) -> Any:
        try:
            return self.loader(results)
        except Exception as error:
            # Our errors, and those of missing files, name the file.
            if isinstance(error, SciPluginsError) or getattr(error, 'filename', None):
                raise
            is_label = 'Annotations' in type(self.loader).__name__
            path = (is_label and results.get('seg_map_path')) or results.get('img_path')
            if not path:
                raise
            raise DataError(_tell_file(str(path), error)) from error

    def __repr__(self) -> str:
        return repr(self.loader)


def _tell_file(path: str, error: Exception) -> str:
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return f'{path} is empty (0 bytes)'
    if path in str(error):
        return first_line(error)
    if isinstance(error, UnidentifiedImageError):  # its message is a memory address
        return f'{path} is not a readable image'
    return f'{path} cannot be read: {tell_cause(error)}'


def _describe_data_set(config: Any) -> str | None:
    """The data set whose annotations cannot be read, ``None`` if something else is wrong."""
    for each in data_set_configs(config):
        with suppress(Exception):
            dataset = DATASETS.build({**each, 'lazy_init': True})
            if not isinstance(dataset, BaseDataset):
                continue
            dataset.serialize_data = False  # which fails for an empty list
            try:
                dataset.full_init()
            except Exception as error:
                kind, where = type(dataset).__name__, _where(dataset)
                return f'{kind} cannot read its annotations{where}: {tell_cause(error)}'
            if not len(dataset):
                return _tell_empty(dataset)
    return None


def _describe_label_maps(error: Exception, batch: Any) -> str | None:
    """One line for the label map in a batch whose size made ``error``, if one did."""
    # mmseg's loss stacks label maps as the pipeline gives them, its metric compares them with a
    # prediction of the image's size in the file.
    stacked = 'stack expects each' in str(error)
    if not stacked and 'shape of the mask' not in str(error):
        return None
    for sample in _samples(batch):
        label = tuple(sample.gt_sem_seg.shape[-2:])
        image = tuple(sample.get('img_shape' if stacked else 'ori_shape', label))[:2]
        if label != image:
            path = sample.get('seg_map_path') or sample.get('img_path')
            told = f'{path}: the label map has the size {list(label)}, the image {list(image)}'
            return told + ' (as the pipeline gives them)' * stacked
    return None


def _samples(batch: Any) -> Iterator[Any]:
    """Data samples with a label map; those of one image are a list in test-time augmentation."""
    found = batch.get('data_samples') if isinstance(batch, Mapping) else batch
    for each in found if isinstance(found, list | tuple) else []:
        if isinstance(each, list | tuple):
            yield from _samples(each)
        elif hasattr(each, 'gt_sem_seg'):
            yield each


def _tell_empty(dataset: BaseDataset) -> str:
    kind, where = type(dataset).__name__, _where(dataset)
    return f'{kind} has no images{where}: all are missing or filtered out'


def _where(dataset: BaseDataset) -> str:
    prefixes = [value for value in dataset.data_prefix.values() if value]
    place = dataset.ann_file or (prefixes[0] if prefixes else '')
    return f' in {place}' if place else ''
