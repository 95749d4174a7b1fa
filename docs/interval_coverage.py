"""How often 95 % intervals hold the true difference: the table of statistics.md.

    python docs/interval_coverage.py WORK_DIR/records/CONDITION/none.npz \
        WORK_DIR/records/CONDITION/VARIANT.npz --metric COCO_AP50 --images 49 100 600

The images of two records stand for all images there are, so that the true difference is known.
Test sets of the given sizes are drawn from them with replacement; each gets an interval by every
method, and is counted if that holds the true difference.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.stats import norm, t

from sci_plugins.evaluation.records import ImageRecords

#: Groups of the jackknife inside a resample, for its standard error.
_GROUPS = 10
Difference = Callable[[np.ndarray], np.ndarray]


def intervals(
    difference: Difference,
    counts: np.ndarray,
    resamples: int,
    studentised: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Ends of the 95 % interval of one test set, by method.

    Args:
        difference: from weights ``(R, N)`` to differences ``(R,)``.
        counts: ``(N,)``, how often each image is in the test set.
        resamples: of the bootstrap.
        studentised: on how many of them the studentised interval rests; 0: leave it out.
        rng: of its draws.
    """
    size = int(counts.sum())
    rows = rng.multinomial(size, counts / size, resamples)
    found, own = difference(rows), float(difference(counts[None])[0])
    error, tails = found.std(ddof=1), np.array([0.025, 0.975])
    wide = t.ppf(tails, size - 1) * np.sqrt(size / (size - 1))
    ends = {
        'percentile': np.quantile(found, tails),
        'expanded percentile': np.quantile(found, norm.cdf(wide)),
        'BCa': np.quantile(found, _bca_levels(difference, counts, found, own, tails)),
        't, bootstrap error': own + wide * error,
    }
    if studentised:
        some = rows[:studentised], found[:studentised]
        ends['studentised'] = _studentised(difference, counts, *some, own, rng)
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _bca_levels(
    difference: Difference, counts: np.ndarray, found: np.ndarray, own: float, tails: np.ndarray
) -> np.ndarray:
    """Efron (1987): quantiles of the resamples, corrected for bias and for skew."""
    there = np.flatnonzero(counts)
    left_out = difference(counts - np.eye(len(counts), dtype=int)[there])
    effects = np.repeat(left_out.mean() - left_out, counts[there])
    effects -= effects.mean()
    skew = (effects**3).sum() / max(6 * (effects**2).sum() ** 1.5, 1e-300)
    share = ((found < own).mean() + (found <= own).mean()) / 2
    bias = norm.ppf(np.clip(share, 1 / len(found), 1 - 1 / len(found)))
    moved = bias + norm.ppf(tails)
    return norm.cdf(bias + moved / (1 - skew * moved))


def _studentised(
    difference: Difference,
    counts: np.ndarray,
    rows: np.ndarray,
    found: np.ndarray,
    own: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Bootstrap-t; each resample needs a standard error of its own."""
    error, *errors = np.maximum(_errors(difference, np.stack([counts, *rows]), rng), 1e-12)
    low, high = np.quantile((found - own) / errors, [0.025, 0.975])
    return np.array([own - high * error, own - low * error])


def _errors(difference: Difference, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard error of each by the jackknife over groups of images."""
    left_out = []
    for row in rows:
        images = rng.permutation(np.repeat(np.arange(len(row)), row))
        groups = np.array_split(images, _GROUPS)
        left_out += [row - np.bincount(each, minlength=len(row)) for each in groups]
    found = difference(np.array(left_out)).reshape(len(rows), _GROUPS)
    return np.sqrt((_GROUPS - 1) * found.var(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('base')
    parser.add_argument('variant')
    parser.add_argument('--metric', required=True)
    parser.add_argument('--images', type=int, nargs='+', default=[49, 100, 600])
    parser.add_argument('--sets', type=int, default=1000, help='test sets to draw')
    parser.add_argument('--resamples', type=int, default=400)
    parser.add_argument('--studentised', type=int, default=200, help='of these; slow; 0: none')
    args = parser.parse_args()
    base, variant = ImageRecords.load(args.base), ImageRecords.load(args.variant)

    def difference(rows: np.ndarray) -> np.ndarray:
        before, after = (each.resampled(rows, [args.metric]) for each in (base, variant))
        return after[args.metric] - before[args.metric]

    number = len(base.ids)
    true = float(difference(np.ones((1, number)))[0])
    for size in args.images:
        rng, held, lengths = np.random.default_rng(size), {}, {}
        for _ in range(args.sets):
            counts = rng.multinomial(size, np.full(number, 1 / number))
            for name, (low, high) in intervals(
                difference, counts, args.resamples, args.studentised, rng
            ).items():
                held.setdefault(name, []).append(low <= true <= high)
                lengths.setdefault(name, []).append(high - low)
        told = ', '.join(
            f'{name} {100 * np.mean(held[name]):.1f} % (length {np.median(lengths[name]):.4g})'
            for name in held
        )
        print(f'{args.metric}, {size} images, {args.sets} sets: {told}', flush=True)


if __name__ == '__main__':
    main()
