"""What frame-by-frame enhancement does to a video: flicker, and predictions that come and go."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.low_light import darken, uneven_light
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.folders import list_files
from sci_plugins.utils.images import IMAGE_FORMATS, read_image
from sci_plugins.video import enhance

_SCORE, _OVERLAP = 0.3, 0.5
Frames = list[np.ndarray]


@dataclass(frozen=True)
class VideoResult:
    """One row a variant: luma, flicker, warping error and, with a network, its stability."""

    frames: int
    light: str
    rows: dict[str, dict[str, float]]
    luma: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        heads = list(next(iter(self.rows.values())))
        cells = [[name, *(f'{row[each]:.3g}' for each in heads)] for name, row in self.rows.items()]
        return f'{self.frames} frames, light: {self.light}\n' + text_table(['', *heads], cells)


def benchmark_video(
    folder: str,
    variants: Sequence[str] = ('none', 'exposure/0.4', 'adaptive'),
    light: str = 'tunnel',
    fps: float = 15.0,
    noise: float = 0.002,
    limit: int = 101,
    model: Sequence[str] = (),
    figure: str | None = None,
) -> VideoResult:
    """Measure variants on the frames of a folder, in the order of their names.

    Args:
        folder: images of one recording.
        variants: enhancers; ``'gain:NAME'`` and ``'full:NAME'`` are smoothed along time.
        light: ``'as-is'``; ``'steady'`` is gain .05; ``'swell'`` goes between gain .03 and .12
            within a second; ``'tunnel'`` falls from .3 to .03 and comes back; ``'headlights'`` is
            gain .03 with a car's lamps, up to gain .3, on for half of each second.
        fps: frames in a second.
        noise: read noise where the light changes.
        limit: most frames.
        model: config and checkpoint of an mmdet or mmseg model.
        figure: file for the brightness over time.

    Raises:
        ConfigError: for an unknown light or fewer than 3 frames.
    """
    check_at_least(3, limit=limit)
    day = [read_image(path) for path in list_files(Path(folder), IMAGE_FORMATS).files[:limit]]
    if len(day) < 3:
        raise ConfigError(f'a video needs 3 frames at least, got {len(day)} in {folder}')
    frames = _darken(day, light, fps, noise)
    flows = [_flow(new, old) for old, new in itertools.pairwise(day)]
    predict = _predictor(*model) if model else None
    rows, lumas = {}, {}
    for name in tqdm(variants, unit='variant'):
        temporal, _, enhancer = name.rpartition(':')
        seen = list(enhance(frames, enhancer, temporal=temporal or 'none', fps=fps))  # type: ignore[arg-type]
        luma = np.array([frame.mean((0, 1)) @ LUMA / 255 for frame in seen])
        lumas[name] = luma.tolist()
        rows[name] = dict(
            luma=float(luma.mean()),
            flicker=float(np.diff(luma).std() / luma.mean()),
            warping=_warping_error(seen, flows),
        )
        if predict:
            rows[name] |= predict([frame[..., ::-1].copy() for frame in seen], flows)
    if figure:
        _draw(lumas, fps, figure)
    return VideoResult(len(frames), light, rows, lumas)


def _darken(day: Frames, light: str, fps: float, noise: float) -> Frames:
    time = np.arange(len(day)) / fps
    middle = time[-1] / 2
    lamps = uneven_light('headlights', day[0].shape[0], day[0].shape[1], np.random.default_rng(0))
    fields: dict[str, Any] = {
        'as-is': [],
        'steady': np.full(len(day), 0.05),
        'swell': 0.06 * 2.0 ** np.sin(2 * np.pi * time),
        'tunnel': np.where(abs(time - middle) < middle / 2, 0.03, 0.3),
        'headlights': [0.03 + 0.27 * (moment % 1 < 0.5) * lamps for moment in time],
    }
    if light not in fields:
        raise ConfigError(f'light must be one of {", ".join(fields)}, got {light!r}')
    if light == 'as-is':
        return day
    dark = []
    for index, (frame, field) in enumerate(zip(day, fields[light], strict=True)):
        gain = float(np.max(field))
        shape = np.broadcast_to(field, frame.shape[:2]) / gain
        random = np.random.default_rng(index)
        dark.append(darken(frame, gain, noise, generator=random, light=shape))
    return dark


def _flow(new: np.ndarray, old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel was a frame before, and whether that can be told."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (new, old)]
    flow = method.calc(grey[0], grey[1], None)
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    place = np.stack([columns, rows], -1) + flow
    moved = cv2.remap(old, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    known = abs(moved.astype(float) - new).mean(-1) < 12  # neither hidden nor out of the frame
    inside = (place >= 0).all(-1) & (place < flow.shape[1::-1]).all(-1)
    return place, known & inside


def _warping_error(frames: Frames, flows: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean change of a point of the scene between frames, relative to the light."""
    errors = []
    for (old, new), (place, known) in zip(itertools.pairwise(frames), flows, strict=True):
        moved = cv2.remap(old, place[..., 0], place[..., 1], cv2.INTER_LINEAR).astype(float)
        errors.append(abs(moved - new)[known].mean() / (new[known].mean() + 1))
    return float(np.mean(errors))


def _predictor(config: str, checkpoint: str) -> Callable[[Frames, Any], dict[str, float]]:
    from sci_plugins.apis.config import load_config

    scope = load_config(config).get('default_scope')
    if scope == 'mmseg':
        from mmseg.apis import inference_model, init_model

        segmentor = init_model(config, checkpoint, device='cpu')
        return lambda frames, flows: _class_flips(
            [inference_model(segmentor, each).pred_sem_seg.data[0].numpy() for each in frames],
            flows,
        )
    from mmdet.apis import inference_detector, init_detector

    detector = init_detector(config, checkpoint, device='cpu')
    return lambda frames, _: _vanishing(
        [inference_detector(detector, each).pred_instances for each in frames]
    )


def _class_flips(maps: Frames, flows: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Share of the scene's points whose class changes from frame to frame."""
    flips = []
    for (old, new), (place, known) in zip(itertools.pairwise(maps), flows, strict=True):
        moved = cv2.remap(old.astype(np.uint8), place[..., 0], place[..., 1], cv2.INTER_NEAREST)
        flips.append(float((moved != new)[known].mean()))
    return {'class flips %': 100 * float(np.mean(flips))}


def _vanishing(results: Sequence[Any]) -> dict[str, float]:
    """Share of the boxes of a frame and the next but one that the frame between lacks."""
    from torchvision.ops import box_iou

    kept = [each[each.scores > _SCORE] for each in results]
    there = lost = 0
    for before, now, after in zip(kept, kept[1:], kept[2:], strict=False):
        for box, label in zip(before.bboxes, before.labels, strict=True):
            found = [
                bool((box_iou(box[None], other.bboxes[other.labels == label]) > _OVERLAP).any())
                for other in (now, after)
            ]
            there += found[1]
            lost += found[1] and not found[0]
    boxes = float(np.mean([len(each) for each in kept]))
    return {'boxes a frame': boxes, 'vanish %': 100 * lost / max(there, 1)}


def _draw(lumas: dict[str, list[float]], fps: float, path: str) -> None:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 3.2), layout='constrained')
    for name, luma in lumas.items():
        axis.plot(np.arange(len(luma)) / fps, luma, label='input' if name == 'none' else name)
    axis.set(xlabel='seconds', ylabel='mean luma', ylim=(0, None))
    figure.legend(loc='outside right center', fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
