"""Files that onnxruntime's tools write (its transformers optimizer, its converter to fp16, its saved graphs)."""

import os

import numpy as np
import pytest
import slipway

import onnx

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


class First(torch.nn.Module):
    """A model of ids (and a mask) that gives its first output."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *args):
        return self.model(**dict(zip(self.names, args, strict=True)), return_dict=False)[0]


def ids(shape=(2, 7)):
    return torch.randint(0, 50, shape)


def mask():
    m = torch.ones(2, 7, dtype=torch.int64)
    m[0, 5:] = 0
    return m


def bert():
    config = transformers.BertConfig(vocab_size=50, attn_implementation="eager", **SMALL)
    return transformers.BertModel(config), {
        "input_ids": ids(),
        "attention_mask": mask(),
        "token_type_ids": torch.randint(0, 2, (2, 7)),
    }


def distilbert():
    config = transformers.DistilBertConfig(
        vocab_size=50, dim=32, hidden_dim=64, n_layers=2, n_heads=4, attn_implementation="eager"
    )
    return transformers.DistilBertModel(config), {"input_ids": ids(), "attention_mask": mask()}


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=32, n_layer=2, n_head=4, n_positions=32, attn_implementation="eager", use_cache=False
    )
    return transformers.GPT2LMHeadModel(config), {"input_ids": ids(), "attention_mask": mask()}


def t5():
    config = transformers.T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return transformers.T5EncoderModel(config), {"input_ids": ids(), "attention_mask": mask()}


def llama():
    config = transformers.LlamaConfig(
        vocab_size=50, num_key_value_heads=2, use_cache=False, attn_implementation="eager", **SMALL
    )
    return transformers.LlamaForCausalLM(config), {"input_ids": ids(), "attention_mask": torch.ones_like(mask())}


def vit():
    config = transformers.ViTConfig(image_size=16, patch_size=4, attn_implementation="eager", **SMALL)
    return transformers.ViTModel(config), {"pixel_values": torch.randn(2, 3, 16, 16)}


class Net(torch.nn.Module):
    """Convolutions of the kinds that onnxruntime puts into blocks of channels."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU())
        self.branch = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 32, 1))
        self.depthwise = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.Hardswish())
        self.odd = nn.Sequential(nn.Conv2d(32, 24, 1), nn.Sigmoid(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(24, 40, 3))
        self.pool = nn.AvgPool2d(2, 2, 1)
        self.head = nn.Linear(40, 5)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.branch(x))
        x = torch.nn.functional.interpolate(self.depthwise(x), scale_factor=2.0, mode="nearest")
        x = self.pool(torch.nn.functional.leaky_relu(self.odd(x), 0.2))
        return self.head(x.mean((2, 3)))


def net():
    return Net(), {"x": torch.randn(2, 3, 24, 20)}


MODELS = {f.__name__: f for f in (bert, distilbert, gpt2, t5, llama, vit, net)}


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            torch.manual_seed(3)
            model, inputs = MODELS[name]()
            model = model.eval()
            whole = model if name == "net" else First(model, list(inputs))
            path = str(tmp_path_factory.mktemp("files") / f"{name}.onnx")
            axes = {n: {i: f"{n}_{i}" for i in range(1 if x.ndim == 4 else x.ndim)} for n, x in inputs.items()}
            with torch.no_grad():
                torch.onnx.export(
                    whole,
                    tuple(inputs.values()),
                    path,
                    dynamo=False,
                    opset_version=17,
                    input_names=list(inputs),
                    output_names=["y"],
                    dynamic_axes=axes,
                )
            made[name] = path, {n: x.numpy() for n, x in inputs.items()}
        return made[name]

    return get


def names_in(path):
    return {(n.domain, n.op_type) for n in onnx.load(path).graph.node}


def agree(path, inputs, tolerance, want=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    (theirs,) = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, inputs)
    for level in (slipway.GraphOptimizationLevel.ORT_DISABLE_ALL, slipway.GraphOptimizationLevel.ORT_ENABLE_ALL):
        ours_options = slipway.SessionOptions()
        ours_options.graph_optimization_level = level
        (ours,) = slipway.InferenceSession(path, ours_options).run(None, inputs)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "t5", "llama", "vit"])
@pytest.mark.parametrize("half", [False, True])
def test_the_transformers_optimizer(exported, name, half, tmp_path):
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    path, inputs = exported(name)
    kinds = {"distilbert": "bert", "llama": "gpt2"}
    model = optimizer.optimize_model(path, model_type=kinds.get(name, name), num_heads=4, hidden_size=32, opt_level=0)
    if half:
        model.convert_float_to_float16(keep_io_types=True)
    file = str(tmp_path / "optimized.onnx")
    model.save_model_to_file(file)
    assert any(domain == "com.microsoft" for domain, _ in names_in(file)), names_in(file)
    agree(file, inputs, 2e-2 if half else 2e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_saved_graphs(exported, name, level, tmp_path):
    path, inputs = exported(name)
    file = str(tmp_path / "saved.onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = file
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if name == "net" and level == "ORT_ENABLE_ALL":
        assert ("com.microsoft.nchwc", "Conv") in names_in(file)
    agree(file, inputs, 2e-5)
