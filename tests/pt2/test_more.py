"""Complex numbers, windows, experts, histograms, strided views, control flow, what PyTorch takes apart first, and a
machine without PyTorch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import slipway
import torch
from programs import check
from test_families import Call, x
from test_files import Tied, run
from torch import nn

import onnx

FFT = torch.fft


def real(value):
    return torch.view_as_real(value.resolve_conj())


OPERATORS = {
    "fft2": (lambda a: real(FFT.fft2(a)), [(x(2, 6, 5),), (x(3, 6, 5),)]),
    "ifft2": (lambda a: real(FFT.ifft2(FFT.fft2(a, norm="forward"), norm="ortho")), [(x(2, 6, 5),), (x(3, 6, 5),)]),
    "rfft2": (lambda a: real(FFT.rfft2(a)), [(x(2, 6, 5),), (x(3, 6, 5),)]),
    "irfft2": (lambda a: FFT.irfft2(FFT.rfft2(a, norm="ortho"), norm="ortho"), [(x(2, 6, 8),), (x(3, 6, 8),)]),
    "irfft2_odd": (lambda a: FFT.irfft2(FFT.rfft2(a), s=(6, 5)), [(x(2, 6, 5),), (x(3, 6, 5),)]),
    "fftn": (lambda a: real(FFT.fftn(a)), [(x(2, 3, 4),)]),
    "fftn_axes": (lambda a: real(FFT.fftn(a, dim=(0, 2), norm="forward")), [(x(2, 3, 4),), (x(2, 5, 4),)]),
    "rfftn": (lambda a: real(FFT.rfftn(a, dim=(1, 2))), [(x(2, 3, 4),), (x(5, 3, 4),)]),
    "ifftn": (lambda a: real(FFT.ifftn(torch.complex(a, a * 2))), [(x(2, 3, 4),)]),
    "irfftn": (lambda a: FFT.irfftn(FFT.rfftn(a)), [(x(2, 3, 4),)]),
    "lengths_vary": (lambda a: real(FFT.fft(a, norm="ortho")), [(x(2, 6),), (x(2, 9),)]),
    "angle": (lambda a: FFT.rfft(a).angle().cos(), [(x(2, 6),), (x(3, 6),)]),
    "angle_of_real": (lambda a: a.angle(), [(x(2, 6),), (x(3, 6),)]),
    "complex_parts": (
        lambda a: real(torch.stack([FFT.fft(a)[:, 1:4], FFT.fft(a).flip(1).roll(2, 1)[..., :3]], 1)[:, 1].sum(-1)),
        [(x(2, 6),), (x(3, 6),)],
    ),
    "complex_joined": (lambda a: real(torch.cat([FFT.fft(a), FFT.ifft(a)], -1).mean(-1)), [(x(2, 6),), (x(3, 6),)]),
    "complex_spread": (
        lambda a: real(FFT.fft(a)[:, None].expand(-1, 3, -1).select(1, 2).squeeze(-1)),
        [(x(2, 6),), (x(3, 6),)],
    ),
    "fftshift": (
        lambda a: (real(FFT.fftshift(FFT.fft(a), 1)), real(FFT.ifftshift(FFT.fft(a))), FFT.fftshift(a)),
        [(x(2, 5),), (x(3, 5),)],
    ),
    "hann": (lambda a: a * torch.hann_window(8), [(x(2, 8),), (x(3, 8),)]),
    "windows": (
        lambda a: (
            a
            + torch.hamming_window(8, periodic=False)
            + torch.blackman_window(8)
            + torch.bartlett_window(8)
            + torch.kaiser_window(8)
        ),
        [(x(2, 8),), (x(3, 8),)],
    ),
    "hamming_coefficients": (lambda a: a * torch.hamming_window(8, True, 0.6, 0.3), [(x(2, 8),)]),
    "window_of_one": (lambda a: a * torch.hann_window(1, periodic=False), [(x(2, 1),)]),
    "histogram": (lambda a: torch.histc(a, 5, -1, 1), [(x(30),), (x(4),)]),
    "histogram_of_all": (lambda a: torch.histc(a, 4), [(x(3, 9),), (torch.full((2, 9), 3.0),)]),
    "as_strided": (lambda a: torch.as_strided(a, (2, 3), (4, 1), 1), [(x(3, 4),)]),
    "as_strided_overlapping": (lambda a: torch.as_strided(a, (3, 2, 2), (1, 2, 0)), [(x(3, 4),)]),
    "as_strided_written": (lambda a: _strided_write(a.clone()), [(x(3, 4),)]),
    "where_places": (lambda a: torch.where(a > 0), [(x(3, 4),), (x(2, 5),)]),
    "runs": (lambda a: torch.unique_consecutive((a > 0).long()), [(x(12),), (x(5),)]),
    "determinant": (lambda a: torch.linalg.det(a), [(x(2, 3, 3),), (x(4, 3, 3),)]),
    "splits": (lambda a: (*torch.hsplit(a, 2), *torch.vsplit(a, [1]), *torch.dsplit(a, 1)), [(x(3, 4, 2),)]),
    "inner": (lambda a, b: torch.inner(a, b), [(x(2, 3, 4), x(5, 4)), (x(3, 3, 4), x(5, 4))]),
}


def _strided_write(a):
    torch.as_strided(a, (2, 2), (5, 2)).mul_(3)
    return a


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name, tmp_path):
    torch.manual_seed(0)
    f, calls = OPERATORS[name]
    check(Call(f), calls, tmp_path, atol=1e-4)


def test_experts(tmp_path):
    """Rows for each expert, none for one, and rows that are nobody's."""
    calls = [
        (x(8, 16).bfloat16(), x(3, 16, 8).bfloat16(), torch.tensor(ends, dtype=torch.int32))
        for ends in ([2, 2, 8], [0, 4, 8], [8, 8, 8])
    ]
    check(Call(lambda a, w, ends: torch._grouped_mm(a, w, offs=ends)), calls, tmp_path, rtol=2e-2, engines=["slipway"])


class Rotary(nn.Module):
    """Rotary embedding as the first Llama had it: complex factors in a buffer."""

    def __init__(self):
        super().__init__()
        angles = torch.outer(torch.arange(32), 1e4 ** (-torch.arange(0, 8, 2) / 8))
        self.register_buffer("factors", torch.polar(torch.ones_like(angles), angles))

    def forward(self, a):
        pairs = torch.view_as_complex(a.reshape(*a.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * self.factors[: a.shape[1], None]).flatten(3)


def test_complex_buffer(tmp_path):
    check(Rotary(), [(x(2, 5, 3, 8),), (x(3, 9, 3, 8),)], tmp_path)


# ---- slipway.export, which lets PyTorch take apart what has no conversion ------------------------------------

TAKEN_APART = {
    "istft": (
        lambda a: torch.istft(torch.stft(a, 16, 4, window=torch.hann_window(16), return_complex=True) * 2, 16, 4,
                              window=torch.hann_window(16), length=64),
        (2, 64), (3, 64),
    ),
    "dist": (lambda a: torch.dist(a, a * 2), (2, 5), (3, 5)),
    "xlog1py": (lambda a: torch.special.xlog1py(a, a.abs()), (2, 5), (3, 5)),
    "cond": (lambda a: torch.cond(a.sum() > 0, lambda v: v * 2, lambda v: v - 1, (a,)), (2, 5), (3, 5)),
    "cond_with_what_is_taken_apart": (
        lambda a: torch.cond(a.sum() > 0, lambda v: torch.dist(v, v * 2) + v, lambda v: v - 1, (a,)), (2, 5), (3, 5)
    ),
    "while_loop": (
        lambda a: torch._higher_order_ops.while_loop(
            lambda i, v: i < 5, lambda i, v: (i + 1, v * 1.5), (torch.tensor(0), a)
        )[1],
        (2, 5), (3, 5),
    ),
    "while_loop_on_values": (
        lambda a: torch._higher_order_ops.while_loop(
            lambda v: v.abs().max() < 100, lambda v: (v * 1.5 + 1,), (a,)
        )[0],
        (2, 5), (3, 5),
    ),
    "several": (
        lambda a: (a.rot90(), torch.vander(a[0]), a.sum_to_size(1, 5), torch.block_diag(a[0, :1], a[0, :1])),
        (3, 5), (4, 5),
    ),
    "scan": (
        lambda a: torch._higher_order_ops.scan(lambda c, v: (c + v, c * v), torch.zeros(5), a, dim=0), (4, 5), (7, 5)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN_APART)
@pytest.mark.filterwarnings("ignore")
def test_through_the_exporter(name, tmp_path):
    torch.manual_seed(0)
    f, first, other = TAKEN_APART[name]
    model = Call(f).eval()
    report = slipway.export(model, (x(*first),), tmp_path / "m.onnx", dynamic_axes={"a": {0: "n"}}, progress=False)
    assert report.ok and all(a.dynamic for a in report.axes), str(report)
    session = slipway.InferenceSession(str(tmp_path / "m.onnx"))
    for sign in (1, -1):
        a = x(*other).abs() * sign
        want = model(a)
        want = want if isinstance(want, tuple) else (want,)
        for got, tensor in zip(session.run(None, {"a": a.numpy()}), want, strict=True):
            np.testing.assert_allclose(got, tensor.numpy(), rtol=1e-3, atol=1e-4)


# ---- Without PyTorch ---------------------------------------------------------------------------------------


def test_nothing_of_pytorch_is_needed(tmp_path):
    """The program and the package where `import torch` fails: an archive becomes a model, and the model runs."""
    model = Tied().eval()
    ids = torch.randint(0, 300, (2, 3))
    torch.export.save(torch.export.export(model, (ids,), strict=False), str(tmp_path / "model.pt2"))
    blocked = tmp_path / "blocked"
    (blocked / "torch").mkdir(parents=True)
    (blocked / "torch" / "__init__.py").write_text("raise ImportError('there is no PyTorch here')\n")
    done = run("export", tmp_path / "model.pt2", "-o", tmp_path / "model.onnx", "--input-name", "ids")
    assert done.returncode == 0, done.stderr
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    np.save(tmp_path / "ids.npy", ids.numpy())
    script = (
        "import numpy as np, slipway, sys\n"
        "y, = slipway.InferenceSession('model.onnx').run(None, {'ids': np.load('ids.npy')})\n"
        "np.save('y.npy', y)\n"
        "assert 'torch' not in sys.modules\n"
        "try:\n    slipway.export\n"
        "except ImportError as error:\n    print(error)\n"
    )
    package = os.path.dirname(os.path.dirname(slipway.__file__))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), package])}
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert "slipway export model.pt2 -o model.onnx" in told.stdout
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(ids).detach().numpy(), rtol=1e-3, atol=1e-5)
