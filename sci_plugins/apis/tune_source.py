"""What a stage is tuned with: a network as its teacher, and images, with labels or without."""

import copy
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch import nn

from sci_plugins.apis.attach import detach
from sci_plugins.apis.compare.contenders import build_model
from sci_plugins.apis.enhance import hash_tensors
from sci_plugins.datasets.darkened_crops import Batch, DarkenedCrops, LabelledImages
from sci_plugins.datasets.low_light_folder import find_images
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.models.enhancers.export import building_of, plain
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.models.teachers import NetworkTeacher, TaskTeacher, Teacher
from sci_plugins.registry import scope_of, type_name_of
from sci_plugins.utils.machine import check_device

Source = DarkenedCrops | LabelledImages
Kind = TypeVar('Kind', NetworkTeacher, TaskTeacher)
#: Numbers of batches that no step has.
HELD_OUT = 10**9
_HELD_OUT_BATCHES = 12
# Images in which there must be an object.
_LOOKED_AT = 1000
#: Steps that make several images one, or leave empty areas: no picture that a test shows.
_MIXING = {
    'Mosaic', 'CachedMosaic', 'RandomMosaic', 'MixUp', 'CachedMixUp', 'CopyPaste', 'RandomAffine',
    'Expand', 'Pad', 'CutOut', 'RandomCutOut', 'RandomErasing',
}  # fmt: skip


def network_teacher(
    cfg: Config,
    checkpoint: str,
    kind: type[Kind] = NetworkTeacher,  # type: ignore[assignment]
    *,
    input_order: str = 'bgr',
    device: str = 'cpu',
    trust: bool = False,
) -> tuple[Kind, dict[str, Any]]:
    """A network as a teacher, and what a recipe says about it.

    Args:
        cfg, checkpoint: any mmdet or mmseg config, of which an enhancer is taken off, and its file.
        kind: class of the teacher.
        input_order: channel order of the config's images.
        trust: allow a checkpoint that holds other objects than weights.

    Raises:
        ConfigError: if no gradient passes through the network, see :class:`NetworkTeacher`.
        CheckpointError: if the checkpoint does not fit.
    """
    model, file = build_model(cfg, checkpoint, trust), Path(checkpoint)
    teacher = kind(detach(model).to(check_device(device)), input_order)
    config_sha256 = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    about = dict(config=Path(str(cfg.filename)).name, config_sha256=config_sha256)
    about |= dict(checkpoint=file.name, checkpoint_sha256=file_sha256(file))
    task = 'training loss of ' if kind is TaskTeacher else ''
    host = about | dict(input_order=input_order)
    return teacher, dict(teacher=f'{task}{type(model).__name__}', host=host)


def labelled_images(cfg: Config) -> Any:
    """The data set of a config's ``train_dataloader``, of whole pictures.

    Steps that mix images or leave empty areas, such as ``Mosaic`` and ``Pad``, are taken out of its
    pipeline: a stage must learn what light whole pictures have.

    Raises:
        ConfigError: if there is none.
        DataError: if no image of a detector's has an object.
        FileNotFoundError: if its files are missing.
    """
    loader = cfg.get('train_dataloader')
    if not loader or not loader.get('dataset'):
        told = 'has no train_dataloader: the training loss needs labelled images'
        raise ConfigError(f'{cfg.filename} {told}')
    init_default_scope(scope_of(cfg))
    dataset: Any = DATASETS.build(_unmixed(loader.dataset))
    looked_at = range(min(len(dataset), _LOOKED_AT) if hasattr(dataset, 'get_data_info') else 0)
    infos = [dataset.get_data_info(index) for index in looked_at]
    objects = [len(info['instances']) for info in infos if 'instances' in info]
    if objects and not any(objects):
        told = f'no object in the first {len(objects)} images of the train_dataloader'
        raise DataError(f'{told}: do the classes of its metainfo stand in its annotation file?')
    return dataset


def _unmixed(dataset: Mapping[str, Any], later: Sequence[Any] = ()) -> dict[str, Any]:
    """A data set's config without steps that mix; ``later``: steps of what is around it."""
    own: dict[str, Any] = copy.deepcopy(dict(dataset))
    if type_name_of(own) == 'MultiImageMixDataset':
        return _unmixed(own['dataset'], [*own.get('pipeline', ()), *later])
    if 'datasets' in own:
        own['datasets'] = [_unmixed(each, later) for each in own['datasets']]
    elif 'dataset' in own:
        own['dataset'] = _unmixed(own['dataset'], later)
    else:
        steps = [*own.get('pipeline', ()), *later]
        own['pipeline'] = [each for each in steps if type_name_of(each) not in _MIXING]
    return own


def open_sources(
    images: Sequence[Any], as_they_are: Sequence[Any], teacher: Teacher, settings: Mapping[str, Any]
) -> tuple[list[Source], dict[str, Any]]:
    """What to learn from and what to check with, and what tells these images from others.

    Arguments as of :func:`sci_plugins.apis.tune.tune`; ``settings``: crop size, batch size, seed.
    """
    if isinstance(teacher, TaskTeacher):
        given = {name: settings[name] for name in ('batch_size', 'seed')}
        parts = _split(range(len(images)), settings['seed'])
        labelled = [LabelledImages(images, part, teacher.input_order, **given) for part in parts]
        # The rest is told by the config.
        return list(labelled), dict(crop_size=None, images=len(images), images_sha256=None)
    # A photograph that is named twice must not be on both sides.
    found = {os.path.realpath(path): path for path in find_images(images)}
    parts = _split(list(found.values()), settings['seed'])
    crops = [DarkenedCrops(part, as_they_are, **settings) for part in parts]
    used = [path for each in crops for path in each.files]
    # Over the contents of the files, whatever their folder and order.
    digest = hashlib.sha256('\n'.join(sorted(map(file_sha256, used))).encode())
    return list(crops), dict(images=len(used), images_sha256=digest.hexdigest())


def _split(images: Sequence[Any], seed: int) -> tuple[list[Any], list[Any]]:
    """Images to learn from and images to check with: one in eight, at least one."""
    if len(images) < 2:
        wish = 'at least 2 images, one of them to check with'
        raise ConfigError(f'tuning needs {wish}, got {len(images)}')
    order = np.random.default_rng(seed).permutation(len(images))
    held_out = np.sort(order[: max(1, len(images) // 8)])
    others = np.setdiff1d(order, held_out)
    return [images[each] for each in others.tolist()], [images[each] for each in held_out.tolist()]


def held_out_batches(source: Source) -> Iterator[Batch]:
    """What a stage is checked with while it learns: the same each time."""
    for index in range(_HELD_OUT_BATCHES):
        yield from source.parts(HELD_OUT + index)


def identify(teacher: Teacher, stage: BaseEnhancer, recipe: Any) -> dict[str, str]:
    """Hashes of the networks, with what a recipe says of them, and of the stage at the start."""
    parts = getattr(teacher, 'teachers', [teacher])
    networks = [(type(e).__name__, getattr(e, 'input_order', ''), _hash_state(e)) for e in parts]
    told = (repr((networks, plain(recipe))), repr((building_of(stage), _hash_state(stage))))
    hashes = (hashlib.sha256(text.encode()).hexdigest() for text in told)
    return dict(zip(('network', 'starting enhancer'), hashes, strict=True))


def _hash_state(owner: Any) -> str:
    """One hash over a module's tensors, or over those of a teacher's ``model``, if it has one."""
    module = getattr(owner, 'model', owner)
    return hash_tensors(module.state_dict().items() if isinstance(module, nn.Module) else ())
