"""The program `slipway`: what its commands print, write and exit with."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper

PROGRAM = os.environ.get("SLIPWAY_PROGRAM", str(Path(__file__).parents[2] / ".venv/bin/slipway"))
COMMANDS = ("bench", "check", "compile", "convert", "export", "inspect", "operators", "run")


def slipway(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def save(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializer=list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="test"), path)
    return path


def value(name, shape, elem=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, elem, shape)


@pytest.fixture
def model(tmp_path):
    """y = x W + 1, with ids passed through."""
    weights = onnx.numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "W")
    one = onnx.numpy_helper.from_array(np.ones(3, np.float32), "one")
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["p"], name="product"),
        helper.make_node("Add", ["p", "one"], ["y/out"], name="sum"),
        helper.make_node("Identity", ["ids"], ["same"], name="pass"),
    ]
    inputs = [value("x", ["batch", 4]), value("ids", ["batch"], TensorProto.INT64)]
    outputs = [value("y/out", ["batch", 3]), value("same", ["batch"], TensorProto.INT64)]
    return save(tmp_path / "tiny.onnx", nodes, inputs, outputs, [weights, one])


def assert_error(done, *words):
    assert done.returncode == 2, done
    assert done.stderr.startswith("slipway: "), done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 3, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(command):
    done = slipway(command, "--help")
    assert done.returncode == 0
    assert "Exit codes:" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith(f"  slipway {command} ")
    assert "--json" in done.stdout


def test_top_level():
    done = slipway("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert slipway("--version").stdout.startswith("slipway ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["launch"],
        ["run"],
        ["run", "--nonsense", "m.onnx"],
        ["run", "m.onnx", "--level", "7"],
        ["bench", "m.onnx", "--seconds", "x"],
    ],
    ids=" ".join,
)
def test_bad_usage(arguments):
    assert_error(slipway(*arguments))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--dim", "batch"], "batch=4"),
        (["--dim", "batch=-1"], "batch=4"),
        (["--dim", "bach=2"], "'batch'"),
        (["--dim", "batch=1,2"], "one size"),
        (["--shape", "x=2xA"], "--shape"),
        (["--shape", "x=2x5"], "wants shape [batch, 4]"),
        (["--shape", "z=2"], "no input 'z'"),
        (["--range", "5,1"], "--range"),
        (["--input", "x"], "name=file.npy"),
        (["--input", "x=absent.npy"], "absent.npy"),
        (["--output", "z=z.npy"], "no output 'z'"),
        (["--output", "same=no/folder/z.npy"], "cannot be written"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_run_refuses(model, arguments, word):
    assert_error(slipway("run", model, *arguments), word)


def test_run_with_files(model, tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    out = tmp_path / "y.npy"
    done = slipway("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output", f"y/out={out}", "--json")
    assert done.returncode == 0, done.stderr
    want = x @ np.arange(12, dtype=np.float32).reshape(4, 3) + 1
    np.testing.assert_allclose(np.load(out), want, rtol=1e-5)
    y, same = json.loads(done.stdout)["outputs"]
    assert (y["name"], y["type"], y["shape"]) == ("y/out", "float", [5, 3])
    assert y["max"] == pytest.approx(want.max(), rel=1e-5)
    assert y["mean"] == pytest.approx(want.mean(), rel=1e-4)
    assert y["first"] == pytest.approx(want.ravel()[:5].tolist(), rel=1e-4)
    assert same["shape"] == [5]


def test_run_generates(model, tmp_path):
    folder = tmp_path / "new" / "out"
    arguments = ("run", model, "--dim", "batch=64", "--range", "3,9", "--seed", 7)
    done = slipway(*arguments, "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    assert "y/out: float [64, 3]" in done.stdout
    ids = np.load(folder / "same.npy")
    assert ids.dtype == np.int64 and ids.min() == 3 and ids.max() == 9
    assert np.load(folder / "y_out.npy").shape == (64, 3)
    assert slipway(*arguments).stdout == slipway(*arguments).stdout == done.stdout
    assert slipway(*arguments[:-1], 8).stdout != done.stdout


def test_run_profile(model):
    found = json.loads(slipway("run", model, "--profile", "--json", "--level", 0).stdout)["profile"]
    assert {"MatMul", "Add"} <= {entry["op_type"] for entry in found["operators"]}
    assert "operator" in slipway("run", model, "--profile").stdout


def test_inspect(model):
    found = json.loads(slipway("inspect", model, "--dim", "batch=8", "--json").stdout)
    assert found["ir_version"] == 8
    assert found["opsets"][""] == 17
    assert found["producer"] == "test"
    assert found["inputs"][0] == {"name": "x", "type": "tensor(float)", "shape": ["batch", 4]}
    assert found["before"]["operators"] == {"Add": 1, "Identity": 1, "MatMul": 1}
    assert (found["before"]["parameters"], found["before"]["parameter_bytes"]) == (15, 60)
    assert found["before"]["flops"] == found["after"]["flops"] == 2 * 8 * 4 * 3
    assert found["before"]["arena_bytes"] >= 0
    done = slipway("inspect", model)
    assert done.returncode == 0
    assert "x: float [batch, 4]" in done.stdout


def test_convert(model, tmp_path):
    out = tmp_path / "older.onnx"
    done = slipway("convert", model, "-o", out, "--opset", 9, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["from_opset"], report["opset"]) == (17, 9)
    older = onnx.load(out)
    assert {o.domain: o.version for o in older.opset_import}[""] == 9
    assert older.ir_version == 4
    assert_error(slipway("convert", model, "-o", out, "--opset", 99), "99", "7 to 28")
    assert_error(slipway("convert", tmp_path / "none.onnx", "-o", out), "none.onnx")


def test_check(model, tmp_path):
    done = slipway("check", model)
    assert (done.returncode, done.stderr) == (0, "")
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="custom"),
        helper.make_node("MatMul", ["x", "x"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["y"], name="third"),
    ]
    bad = save(tmp_path / "bad.onnx", nodes, [value("x", [2, 3])], [value("y", None)])
    done = slipway("check", bad, "--json")
    assert done.returncode == 1, done
    found = json.loads(done.stdout)
    assert not found["ok"]
    assert [f["node"] for f in found["findings"]] == ["first", "second"]
    assert all(f["advice"] for f in found["findings"])
    done = slipway("check", bad)
    assert done.returncode == 1
    assert "Frobnicate" in done.stdout
    assert slipway("inspect", bad).returncode == 0
    assert_error(slipway("run", bad), "Frobnicate")


def test_a_damaged_compiled_model_has_one_remedy(model, tmp_path):
    out = tmp_path / "m.slipway"
    assert slipway("compile", model, "-o", out).returncode == 0
    out.write_bytes(out.read_bytes()[:100])
    found = json.loads(slipway("check", out, "--json").stdout)["findings"]
    assert [f["advice"] for f in found] == ["Compile it again."]


@pytest.mark.parametrize("content", [None, b"", b"not a model" * 10])
def test_bad_files(tmp_path, content):
    path = tmp_path / "file.onnx"
    if content is not None:
        path.write_bytes(content)
    assert slipway("check", path).returncode == 1
    for command in ("run", "inspect", "bench"):
        assert_error(slipway(command, path), "file.onnx")


def test_bench(model):
    arguments = ("bench", model, "--dim", "batch=1,8", "--threads", "1,2", "--seconds", 0.05)
    done = slipway(*arguments, "--json", "--profile")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    results = json.loads(done.stdout)["results"]
    assert [r["dims"]["batch"] for r in results] == [1, 8, 1, 8]
    for r in results:
        assert 0 < r["min_ms"] <= r["p50_ms"] <= r["p90_ms"] <= r["p99_ms"]
        assert r["items_per_second"] == pytest.approx(r["runs_per_second"] * r["dims"]["batch"])
        assert r["runs"] >= 5 and r["load_ms"] > 0 and r["peak_bytes"] > 0
        assert sum(n["share"] for n in r["profile"]["nodes"]) == pytest.approx(1)
        assert all(rate > 1e8 for rate in r["profile"]["peak"].values())
        (product,) = (n for n in r["profile"]["nodes"] if n["op_type"] in ("MatMul", "FusedMatMul"))
        batch = r["dims"]["batch"]
        assert product["flops"] == 2 * batch * 4 * 3
        assert product["bytes"] >= 4 * (batch * 4 + 4 * 3 + batch * 3)
        assert product["flops_per_second"] == pytest.approx(product["flops"] / product["ms"] * 1e3)
    assert "p50 ms" in slipway(*arguments).stdout
    assert_error(slipway("bench", model, "--threads", "two"), "--threads")


def test_compile(model, tmp_path):
    out = tmp_path / "model.slipway"
    done = slipway("compile", model, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    plain, compiled = (json.loads(slipway("run", m, "--json").stdout) for m in (model, out))
    assert plain["outputs"] == compiled["outputs"]
    found = json.loads(slipway("inspect", out, "--dim", "batch=8", "--json").stdout)
    assert found["compiled"]["packed_bytes"] > 0
    assert found["before"] == found["after"] and found["before"]["flops"] == 2 * 8 * 4 * 3
    assert "compiled " in slipway("inspect", out).stdout
    assert slipway("check", out).returncode == 0
    assert "FLOP/s" in slipway("bench", out, "--profile", "--seconds", 0.05).stdout
    again = slipway("compile", out, "-o", tmp_path / "twice")
    assert again.returncode == 2
    assert "compiled already" in again.stderr


def test_the_list_of_operators_is_what_the_documentation_says():
    done = slipway("operators", "--markdown")
    assert done.returncode == 0
    written = (Path(__file__).parents[2] / "docs/operators.md").read_text()
    assert written == done.stdout, "run: slipway operators --markdown > docs/operators.md"
    listed = json.loads(slipway("operators", "--json").stdout)
    assert {"domain": "ai.onnx", "name": "Trilu", "first_opset": 14}.items() <= next(
        op.items() for op in listed if op["name"] == "Trilu"
    )


def test_a_command_that_is_none_is_named():
    assert_error(slipway("frobnicate"), "there is no command 'frobnicate'")
