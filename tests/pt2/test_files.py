"""What the files hold, archives without PyTorch, and what is said when something cannot be done."""

import json
import os
import pathlib
import random
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from programs import DYNAMIC, check, compare, convert, export, through_archive
from torch import nn

import onnx

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = os.environ.get("SLIPWAY_CLI") or next(
    (str(p) for p in (ROOT / ".venv/bin/slipway", ROOT / "build/release/cli/slipway") if p.exists()), "slipway"
)


def run(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(300, 64)
        self.body = nn.Sequential(nn.Linear(64, 320), nn.ReLU(), nn.Linear(320, 64))
        self.head = nn.Linear(64, 300, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.body(self.embed(ids)))


def test_weights_bear_their_names_and_tied_ones_stand_once(tmp_path):
    model = Tied()
    calls = [(torch.randint(0, 300, (n, 4)),) for n in (2, 3)]
    check(model, calls, tmp_path)
    weights = {w.name: list(w.dims) for w in onnx.load(str(tmp_path / "model.onnx")).graph.initializer}
    assert {k for k in weights if k.endswith("weight")} == {"embed.weight", "body.0.weight", "body.2.weight"}
    assert sum(int(np.prod(d)) for d in weights.values()) < 300 * 64 + 2 * 64 * 320 + 2000


def test_names_of_inputs_outputs_and_axes(tmp_path):
    ep = export(nn.Linear(4, 3), (torch.randn(2, 4),), ({0: DYNAMIC},))
    options = {
        "input_names": ["x"],
        "output_names": ["y"],
        "input_axes": [{"0": "batch"}],
        "output_axes": [{"0": "batch"}],
        "metadata": {"a": "b"},
    }
    report = convert(ep, tmp_path / "m.onnx", **options)
    assert report["inputs"] == [{"name": "x", "type": "float", "shape": ["batch", 4]}]
    assert report["outputs"] == [{"name": "y", "type": "float", "shape": ["batch", 3]}]
    model = onnx.load(str(tmp_path / "m.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert {p.key: p.value for p in model.metadata_props}["a"] == "b"
    assert model.opset_import[0].version == 17


def test_an_output_that_is_an_input_or_stands_twice(tmp_path):
    class Model(nn.Module):
        def forward(self, x):
            y = x + 1
            return x, y, y, x.view(-1)[:1] * 0 + 3

    check(Model(), [(torch.randn(2, 3),), (torch.randn(4, 3),)], tmp_path)


@pytest.mark.parametrize("opset", [11, 13, 17, 20, 23])
def test_opsets(opset, tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))
    ep = export(model, (torch.randn(2, 5, 6),), ({0: DYNAMIC},))
    convert(ep, tmp_path / "m.onnx", opset=opset)
    assert onnx.load(str(tmp_path / "m.onnx")).opset_import[0].version == opset
    compare(tmp_path / "m.onnx", model, [(torch.randn(n, 5, 6),) for n in (2, 1, 4)])


@pytest.fixture
def archive(tmp_path):
    model = Tied()
    ep = export(model, (torch.randint(0, 300, (2, 4)),), ({0: DYNAMIC, 1: DYNAMIC},))
    return model, through_archive(ep, tmp_path)


def test_an_archive_without_pytorch(archive, tmp_path):
    model, path = archive
    out = tmp_path / "out.onnx"
    done = run("export", path, "-o", out, "--json", "--input-name", "ids", "--output-name", "logits")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["inputs"][0]["name"] == "ids" and report["outputs"][0]["name"] == "logits"
    compare(out, model, [(torch.randint(0, 300, (n, n + 1)),) for n in (2, 1, 3)])
    weights = [w.name for w in onnx.load(str(out)).graph.initializer]
    assert len([w for w in weights if w.endswith("weight")]) == 3


def test_a_packed_archive(archive, tmp_path):
    model, path = archive
    packed = tmp_path / "packed.pt2"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.namelist():
            target.writestr(item, source.read(item))
    assert run("export", packed, "-o", tmp_path / "out.onnx").returncode == 0
    compare(tmp_path / "out.onnx", model, [(torch.randint(0, 300, (2, 3)),)])


def test_damaged_archives_are_errors(archive, tmp_path):
    _, path = archive
    data = path.read_bytes()
    rng = random.Random(0)
    bad = tmp_path / "bad.pt2"
    for case in range(60):
        if case % 3 == 0:
            broken = data[: rng.randrange(len(data))]
        else:
            broken = bytearray(data)
            for _ in range(1 + case % 7):
                broken[rng.randrange(len(data)) if case % 2 else rng.randrange(len(data) * 9 // 10, len(data))] ^= (
                    1 << rng.randrange(8)
                )
        bad.write_bytes(broken)
        done = run("export", bad, "-o", tmp_path / "out.onnx")
        assert done.returncode in (0, 2), (case, done.returncode, done.stderr)


def edited(path, target, edit):
    """The archive with its program changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for item in source.namelist():
            text = source.read(item)
            if item.endswith("models/model.json"):
                program = json.loads(text)
                edit(program)
                text = json.dumps(program).encode()
            out.writestr(item, text)


EDITS = {
    "no graph": lambda p: p.pop("graph_module"),
    "a later schema": lambda p: p["schema_version"].update(major=9),
    "an unknown value": lambda p: p["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"]["as_tensor"].update(name="no"),
    "no nodes": lambda p: p["graph_module"]["graph"]["nodes"].clear(),
    "an unknown operator": lambda p: p["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.my.op.default"),
    "a size that is no expression": lambda p: p["graph_module"]["graph"]["tensor_values"]["ids"]["sizes"][0].update(
        as_expr={"expr_str": "Add(((", "hint": None}
    ),
    "another weight's shape": lambda p: p["graph_module"]["graph"]["tensor_values"]["p_embed_weight"]["sizes"][0].update(as_int=7),
    "an output that nothing gives": lambda p: p["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"].update(name="no"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_programs_that_make_no_sense(name, archive, tmp_path):
    _, path = archive
    edited(path, tmp_path / "edited.pt2", EDITS[name])
    done = run("export", tmp_path / "edited.pt2", "-o", tmp_path / "out.onnx")
    assert done.returncode == 2 and done.stderr.startswith("slipway: "), (done.returncode, done.stderr)
    assert not (tmp_path / "out.onnx").exists()


def test_what_cannot_be_converted_is_named_with_its_line(tmp_path):
    class Model(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    ep = export(Model(), (torch.randn(3),))
    with pytest.raises(Exception, match=r"(?s)aten\.special_bessel_j0.*test_files\.py:\d+.*custom_translation_table"):
        convert(ep, tmp_path / "m.onnx")


def test_large_weights_go_to_a_file_that_has_the_same_bytes(tmp_path):
    model = nn.Sequential(nn.Linear(300, 400), nn.Linear(400, 300))
    ep = export(model, (torch.randn(2, 3, 300),))
    convert(ep, tmp_path / "m.onnx")
    loaded = {w.name: onnx.numpy_helper.to_array(w) for w in onnx.load(str(tmp_path / "m.onnx")).graph.initializer}
    np.testing.assert_array_equal(loaded["0.weight"].T, model[0].weight.detach().numpy())
    shutil.rmtree(tmp_path)
