"""The GPU's kernel against SCI layer by layer: interpreted on the CPU, compiled, run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sci_plugins.functional.kernels import sci_fused
from sci_plugins.models.enhancers import SCIEnhancer
from tests.plain_sci import visible_weights

pytest.importorskip('triton')


def differences(device: str, size: tuple[int, int]) -> dict[str, float]:
    """Largest differences to PyTorch, of floats, of bytes, and of bytes normalised."""
    enhancer = SCIEnhancer().eval()
    enhancer.load_state_dict(visible_weights())
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    image[..., 0, 0] = 0

    def wanted(given: torch.Tensor) -> torch.Tensor:
        return (given / enhancer.estimate_illumination(given)).clamp(0, 1)

    pixels = (image * 255).byte().contiguous(memory_format=torch.channels_last)
    scale, shift = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 0.2, 0.3])
    with torch.no_grad():
        floats, levels = wanted(image), (wanted(pixels / 255) * 255).byte()
        turned = wanted(pixels.flip(1) / 255) * scale.flip(0).view(3, 1, 1)
        turned += shift.flip(0).view(3, 1, 1)
        enhancer.to(device)
        mixed, one = pixels.to(device), pixels.contiguous().to(device)
        bytes_out, normed = torch.empty_like(mixed), torch.empty(image.shape, device=device)
        assert enhancer.enhance_bytes(mixed, bytes_out, scale=255.0)
        how = dict(scale=scale.to(device), shift=shift.to(device), bgr=True, turned=True)
        assert enhancer.enhance_bytes(one, normed, **how)
        found = dict(
            floats=enhancer(image.to(device)).cpu() - floats,
            levels=bytes_out.cpu().int() - levels.int(),
            normed=normed.cpu() - turned,
        )
    return {name: float(each.abs().max()) for name, each in found.items()}


def _check(found: dict[str, float]) -> None:
    assert found['floats'] < 1e-5
    assert found['levels'] <= 1
    assert found['normed'] < 1e-5


@pytest.mark.slow
def test_interpreted() -> None:
    """In another process, for the variable counts where Triton is imported; two tiles each way."""
    env = dict(os.environ, TRITON_INTERPRET='1', PYTHONPATH=os.pathsep.join(sys.path))
    result = subprocess.run(
        [sys.executable, __file__], env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    _check(json.loads(result.stdout))


@pytest.mark.parametrize(
    ('source', 'target', 'step', 'turned'),
    [pytest.param('*fp32', '*fp32', 1, False, marks=pytest.mark.slow), ('*u8', '*u8', 3, True)],
)
def test_it_compiles_without_a_gpu(
    source: str, target: str, step: int, turned: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    import triton
    from triton.backends.compiler import GPUTarget

    from sci_plugins.functional.kernels.sci_triton import _SIZES, _TILE, _WARPS, kernel

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    given: dict[str, Any] = dict(source_w=step, target_w=step, turned=turned)
    given |= dict(zip(('rows', 'columns'), _TILE, strict=True))
    types = dict.fromkeys(_SIZES, 'i32') | dict(source=source, target=target, weights='*fp32')
    signature = {name: types.get(name, 'constexpr') for name in kernel.arg_names}
    made = triton.compile(
        triton.compiler.ASTSource(kernel, signature, given),
        target=GPUTarget('cuda', 80, 32),
        options=dict(num_warps=_WARPS),
    )
    assert len(made.asm['cubin']) > 10_000
    assert made.metadata.shared <= 48 * 1024


def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device on this machine')
    _check(differences('cuda', (270, 333)))
    assert sci_fused._gpu_computes


if __name__ == '__main__':
    sci_fused._is_on_gpu = lambda image: True
    print(json.dumps(differences('cpu', (29, 61))))
