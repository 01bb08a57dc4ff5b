"""slipway.export: the call, what it writes, and how it is compared with PyTorch."""

import io
import json
import sys

import numpy as np
import pytest
import slipway
import torch
from export_models import Branch, Classifier, TextClassifier, agrees, export, refused, session, shapes
from slipway.errors import ExportWarning
from torch import nn

import onnx


def test_call_as_torch_onnx_export(tmp_path):
    model = Classifier().eval()
    path = tmp_path / "model.onnx"
    report = export(
        model,
        torch.randn(1, 3, 16, 16),
        str(path),
        export_params=True,
        opset_version=17,
        do_constant_folding=True,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": {0: "batch_size", 2: "h", 3: "w"}, "output": {0: "batch_size"}},
        verbose=False,
    )
    onnx.checker.check_model(str(path))
    assert shapes(report) == {"input": ["batch_size", 3, "h", "w"], "output": ["batch_size", 10]}
    assert onnx.load(path).opset_import[0].version == 17
    agrees(report, model, torch.randn(5, 3, 20, 13))
    assert report.ok and report.check() is report
    assert len(report.runs) >= 3 and report.runs[0].inputs == {"input": [1, 3, 16, 16]}
    assert {"capture", "convert", "write", "verify", "total"} <= set(report.seconds)


@pytest.mark.parametrize("place", ["f", "stream", "bytes"])
def test_destinations(tmp_path, place):
    model, x = nn.Linear(3, 2).eval(), torch.randn(1, 3)
    if place == "f":
        report = export(model, (x,), f=tmp_path / "m.onnx")
        assert report.path == str(tmp_path / "m.onnx")
    elif place == "stream":
        stream = io.BytesIO()
        export(model, (x,), stream)
        assert slipway.InferenceSession(stream.getvalue()).get_outputs()[0].shape == [1, 2]
    else:
        agrees(export(model, (x,)), model, x)


def test_report_reads_as_text_and_json(tmp_path):
    report = export(nn.Linear(3, 2).eval(), (torch.randn(1, 3),), dynamic_axes={"input": {0: "n"}})
    report.save(tmp_path / "report.json")
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["ok"] and told["verified"] and told["runs"][0]["outputs"][0]["ok"]
    assert told["axes"] == [{"tensor": "input", "axis": 0, "name": "n", "dynamic": True, "size": None, "line": None}]
    assert told["tolerance"] == {"type": "float32", "rtol": 1e-3, "atol": 1e-5}
    assert told["nodes_before"] >= told["nodes_after"] >= 1
    assert "verified" in str(report) and "time" in str(report)


def test_metadata_says_what_made_the_file():
    report = export(Classifier().eval(), (torch.randn(1, 3, 8, 8),), dynamic_axes={"pixel_values": {0: "n"}})
    told = {p.key: p.value for p in onnx.load_from_string(report.model).metadata_props}
    assert told["slipway.torch_version"] == torch.__version__
    assert told["slipway.version"] == slipway.__version__
    assert told["slipway.opset_version"] == "17"
    call = json.loads(told["slipway.arguments"])
    assert call["dynamic_axes"] == {"pixel_values": {"0": "n"}} and call["example"] == {"pixel_values": [1, 3, 8, 8]}
    assert told["slipway.time"].startswith("20")


@pytest.mark.parametrize("opset", [11, 18, 20])
def test_nodes_say_their_line(opset):
    """Also those that an older opset takes apart."""

    class Model(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(x) * x.shape[0]

    report = export(Model(), torch.ones(2, 4), opset_version=opset, dynamic_axes={"x": [0]})
    lines = {n.doc_string for n in onnx.load_model_from_string(report.model).graph.node}
    assert len(lines) == 1
    assert lines.pop().endswith("gelu(x) * x.shape[0]")


def test_axes_of_one_name_are_one_though_the_model_never_compares_them():
    class Model(nn.Module):
        def forward(self, a, b):
            return a * 2, b + 1

    axes = {"a": {0: "n"}, "b": {0: "n"}}
    report = export(Model(), (torch.ones(1, 3), torch.ones(1, 4)), dynamic_axes=axes, output_names=["c", "d"])
    assert shapes(report) == {"a": ["n", 3], "b": ["n", 4], "c": ["n", 3], "d": ["n", 4]}


@pytest.mark.parametrize("fails", [False, True])
def test_pytorch_is_left_as_it_was(fails):
    import builtins
    import gc

    import torch.export._trace
    import torch.fx.proxy
    from torch.fx.experimental import proxy_tensor, sym_node

    places = (
        builtins,
        proxy_tensor,
        sym_node.SymNode,
        torch.export._trace,
        torch.fx.GraphModule,
        torch.fx.proxy,
        nn.LSTM,
    )
    before = [dict(vars(p)) for p in places]
    if fails:
        refused(Branch().eval(), (torch.randn(1, 4),))
    else:
        export(Classifier().eval(), (torch.randn(1, 3, 8, 8),), dynamic_axes={"pixel_values": {0: "n"}})
    assert all(dict(vars(p)) == b for p, b in zip(places, before, strict=True))
    assert gc.isenabled() and gc.get_freeze_count() == 0
    program = torch.export.export(nn.Linear(3, 2), (torch.randn(1, 3),))
    assert "linear" in program.graph_module.code


def test_import_leaves_torch_alone():
    import subprocess

    code = "import sys, slipway; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Nested(nn.Module):
    def forward(self, x, pair, table, extra=None, scale=2.0):
        y = x * pair[0] + pair[1] - table["bias"]
        return {"y": y * scale, "none": extra, "more": [y.sum(1), (y.mean(), x)]}


def test_nested_inputs_and_outputs():
    def inputs(n):
        return torch.randn(n, 4), (torch.randn(n, 4), torch.randn(4)), {"bias": torch.randn(1)}

    axes = {"x": {0: "n"}, "pair_0": {0: "n"}}
    report = export(Nested().eval(), inputs(1), dynamic_axes=axes)
    assert [i.name for i in session(report).get_inputs()] == ["x", "pair_0", "pair_1", "table_bias"]
    assert [o.name for o in session(report).get_outputs()] == ["y", "more_0", "more_1_0", "more_1_1"]
    agrees(report, Nested(), *inputs(3))


class Optional(nn.Module):
    def forward(self, x, mask=None, context=None, bias=None, negate=False):
        y = x if mask is None else x.masked_fill(mask, 0)
        y = y if context is None else y + context
        y = y if bias is None else y * bias
        return -y if negate else y


def test_keywords_and_none():
    x, bias = torch.randn(1, 5), torch.randn(1, 1)
    report = export(
        Optional().eval(), (x, None), kwargs={"bias": bias, "negate": True}, dynamic_axes={"x": [0], "bias": {0: "b"}}
    )
    assert [i.name for i in session(report).get_inputs()] == ["x", "bias"]
    got = session(report).run(None, {"x": np.ones((3, 5), np.float32), "bias": np.full((3, 1), 2, np.float32)})
    assert np.array_equal(got[0], np.full((3, 5), -2, np.float32))


def test_keywords_last_in_args():
    model = Optional().eval()
    for args in ((torch.randn(2, 5), {"bias": torch.randn(2, 1)}), {"x": torch.randn(2, 5), "bias": torch.randn(2, 1)}):
        assert [i.name for i in session(export(model, args)).get_inputs()] == ["x", "bias"]


def test_function_and_program():
    def double(a, b):
        return a * 2 + b

    x = torch.randn(1, 3)
    report = export(double, (x, x), dynamic_axes={"a": {0: "n"}, "b": {0: "n"}})
    assert shapes(report)["a"] == ["n", 3]
    program = torch.export.export(nn.Linear(3, 2).eval(), (x,), strict=False)
    agrees(export(program, (x,)), program.module(), x)


def test_parameters_keep_their_names_and_tied_ones_are_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.head = nn.Linear(8, 20, bias=False)
            self.head.weight = self.embed.weight
            self.norm = nn.LayerNorm(8)

        def forward(self, tokens):
            return self.head(self.norm(self.embed(tokens)))

    model = Tied().eval()
    report = export(model, (torch.zeros(1, 4, dtype=torch.long),), dynamic_axes={"tokens": {0: "n", 1: "t"}})
    held = [i.name for i in onnx.load_from_string(report.model).graph.initializer]
    assert {"embed.weight", "norm.weight", "norm.bias"} <= set(held)
    assert len(report.model) < 2 * 20 * 8 * 4 + 4000
    agrees(report, model, torch.randint(0, 20, (3, 7)))


def test_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[0].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(1, 4, requires_grad=True)
    with pytest.warns(ExportWarning, match="training mode.*model.eval"):
        report = slipway.export(model, (x,), dynamic_axes={"input": {0: "n"}})
    assert [m.training for m in model.modules()] == [True, False, True, True]
    assert type(model) is nn.Sequential and "forward" not in vars(model)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    agrees(report, model.eval(), torch.randn(4, 4))


@pytest.mark.parametrize("kind, expected", [(torch.float16, "float16"), (torch.bfloat16, "bfloat16")])
def test_half_types(kind, expected):
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU()).eval().to(kind)
    report = export(model, (torch.randn(1, 8).to(kind),), dynamic_axes={"input": {0: "n"}}, opset_version=22)
    assert report.tolerance["type"] == expected and report.ok, str(report)


# ---- Verification --------------------------------------------------------------------------------------


def test_random_models_are_not_compared():
    report = export(lambda x: x + torch.rand_like(x), (torch.randn(1, 4),))
    assert report.verified is None and "random" in report.verification


def test_tolerance_grows_with_the_output():
    """Sums of thousands are rounded in their last digits; near 0 there these look large."""
    from slipway.exporter.verify import compare

    want = np.array([4000.0, -3000.0, 0.001], np.float32)
    got = want + np.float32(2e-3)
    assert compare("y", got, want, 1e-3, 1e-5)[0].ok
    assert not compare("y", got, want, 1e-3, 1e-5, grows=False)[0].ok
    small = np.array([0.5, -0.2, 0.001], np.float32)
    assert not compare("y", small + np.float32(2e-3), small, 1e-3, 1e-5)[0].ok
    masked = np.array([-1e9, -1e9, 0.001], np.float32)
    assert not compare("y", masked + np.array([0, 0, 2e-3], np.float32), masked, 1e-3, 1e-5)[0].ok


def test_tolerances_can_be_given():
    report = export(TextClassifier().eval(), (torch.randint(0, 100, (1, 8)),), rtol=0, atol=0, verify="warn")
    assert report.verified is False and report.max_error < 1e-4
    message = refused(TextClassifier().eval(), (torch.randint(0, 100, (1, 8)),), rtol=0, atol=0, verify="strict")
    assert "outside rtol 0, atol 0" in message


# ---- State -----------------------------------------------------------------------------------------------------------


class Counter(nn.Module):
    """Buffers written in place, through a slice and set anew, and a plain attribute."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.inner = nn.Module()
        self.inner.register_buffer("cache", torch.zeros(4))
        self.register_buffer("mean", torch.zeros(4))
        self.last = torch.zeros(4)

    def forward(self, x):
        self.count += 1
        self.inner.cache[:2] = x[0, :2]
        self.mean = self.mean * 0.9 + x.mean(0)
        self.last = self.last * 0.5 + self.mean
        return x * self.count + self.inner.cache + self.mean + self.last


def test_changed_buffers_are_named_and_keep_their_values():
    model = Counter().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()} | {"last": model.last}
    report = export(model, (torch.randn(1, 4),), dynamic_axes={"x": {0: "n"}})
    told = " ".join(report.warnings)
    for name in ("'count'", "'inner.cache'", "'mean'", "'last'"):
        assert f"forward changes {name}" in told
    assert "self.count += 1" in told and report.ok and len(report.runs) > 2
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()) and model.last is before["last"]


def test_weights_that_hooks_compute_are_no_state():
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.utils.spectral_norm(nn.Linear(4, 3))).eval()
    report = export(model, (torch.randn(1, 4),), dynamic_axes={"input": {0: "n"}})
    assert report.ok and not report.warnings


def test_state_as_an_input_and_an_output():
    class Stream(nn.Module):
        def forward(self, x, state):
            state = state * 0.9 + x
            return state.tanh(), state

    report = export(Stream(), (torch.randn(1, 4), torch.zeros(1, 4)), output_names=["y", "new_state"])
    assert report.ok and not [w for w in report.warnings if "changes" in w]


def test_what_training_takes_is_loaded_when_it_is_used():
    import subprocess

    code = """
import sys, torch, slipway
slipway.export(torch.nn.Linear(3, 2).eval(), (torch.ones(2, 3),), verify=False)
assert "networkx" not in sys.modules
from torch._functorch._activation_checkpointing import graph_info_provider
assert graph_info_provider.nx.DiGraph.__module__.startswith("networkx")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
