"""The export listings of well-known tutorials, with `slipway.export` where they say `torch.onnx.export`, and the
failures that the same tutorials warn of. Pretrained models are stood in for by small ones of the same classes."""

import warnings

import numpy as np
import pytest
import slipway
import torch
import torch.nn as nn
import transformers as hf
from export_models import Fixed
from slipway.errors import ExportError

import onnx

TINY = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", slipway.errors.ExportWarning)
        yield


def agrees(path, model, *tensors):
    """The file gives what the model gives, first output for first output."""
    session = slipway.InferenceSession(path)
    feeds = {i.name: t.detach().numpy() for i, t in zip(session.get_inputs(), tensors, strict=True)}
    with torch.no_grad():
        want = model(*tensors)
    want = want if isinstance(want, torch.Tensor) else want[0]
    np.testing.assert_allclose(session.run(None, feeds)[0], want.numpy(), rtol=1e-3, atol=1e-5)


class EfficientClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 64, kernel_size=3), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1)))
        self.head = nn.Linear(64, 10)

    def forward(self, pixel_values):
        features = self.backbone(pixel_values).flatten(1)
        return self.head(features)


class Block(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """As torchvision writes it, with fewer and narrower layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = nn.Sequential(Block(8, 8, 1)), nn.Sequential(Block(8, 16, 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(16, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(x, 1))


class TextClassifier(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_classes):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_dim)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(embed_dim, nhead=8, batch_first=True), num_layers=4
        )
        self.classifier = nn.Linear(embed_dim, num_classes)

    def forward(self, x):
        x = self.embed(x)
        x = self.encoder(x)
        x = x.mean(dim=1)
        return self.classifier(x)


def test_image_classifier_with_batch_and_channels():
    """The channels cannot vary; the tutorial names them all the same."""
    model = EfficientClassifier().eval()
    dummy_input = torch.randn(1, 3, 224, 224)
    dynamic_axes = {"input": {0: "batch_size", 1: "channels"}, "output": {0: "batch_size"}}
    report = slipway.export(
        model,
        dummy_input,
        "model.onnx",
        input_names=["input"],
        output_names=["output"],
        dynamic_axes=dynamic_axes,
        opset_version=17,
        do_constant_folding=True,
    )
    assert any("Axis 1 of 'input'" in w for w in report.warnings)
    agrees("model.onnx", model, torch.randn(5, 3, 224, 224))


def test_device_managed_by_hand():
    model, dummy_input = EfficientClassifier(), torch.randn(1, 3, 32, 32)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    dummy_input = dummy_input.to(device)
    slipway.export(model, dummy_input, "model.onnx")
    agrees("model.onnx", model.eval().cpu(), dummy_input.cpu())


def test_vision_boilerplate():
    model = ResNet()
    model.eval()
    dummy_input = torch.randn(1, 3, 224, 224, requires_grad=True)
    onnx_file_path = "resnet18_baseline.onnx"
    slipway.export(
        model,
        dummy_input,
        onnx_file_path,
        export_params=True,
        opset_version=17,
        do_constant_folding=True,
        input_names=["input_image"],
        output_names=["class_logits"],
    )
    agrees(onnx_file_path, model, dummy_input)
    dynamic_axes_config = {"input_image": {0: "batch_size"}, "class_logits": {0: "batch_size"}}
    slipway.export(
        model,
        dummy_input,
        "resnet18_dynamic.onnx",
        export_params=True,
        opset_version=17,
        do_constant_folding=True,
        input_names=["input_image"],
        output_names=["class_logits"],
        dynamic_axes=dynamic_axes_config,
    )
    agrees("resnet18_dynamic.onnx", model, torch.randn(8, 3, 224, 224))


def test_transformers_classifier_as_a_tuple_of_inputs():
    nlp_model = hf.DistilBertForSequenceClassification(
        hf.DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
    )
    nlp_model.eval()
    inputs = {"input_ids": torch.randint(0, 100, (1, 11)), "attention_mask": torch.ones(1, 11, dtype=torch.long)}
    nlp_dynamic_axes = {
        "input_ids": {0: "batch_size", 1: "sequence_length"},
        "attention_mask": {0: "batch_size", 1: "sequence_length"},
        "logits": {0: "batch_size"},
    }
    slipway.export(
        nlp_model,
        (inputs["input_ids"], inputs["attention_mask"]),
        "distilbert.onnx",
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes=nlp_dynamic_axes,
        opset_version=16,
    )
    mask = torch.ones(3, 20, dtype=torch.long)
    mask[1, 12:] = 0
    agrees("distilbert.onnx", nlp_model, torch.randint(0, 100, (3, 20)), mask)


def test_text_classifier_with_a_sequence_that_varies():
    model = TextClassifier(vocab_size=1000, embed_dim=64, num_classes=5)
    model.eval()
    dummy_input = torch.randint(0, 1000, (1, 128))
    slipway.export(
        model,
        dummy_input,
        "text_classifier.onnx",
        opset_version=17,
        input_names=["input_ids"],
        output_names=["logits"],
        dynamic_axes={"input_ids": {0: "batch_size", 1: "seq_length"}, "logits": {0: "batch_size"}},
    )
    agrees("text_classifier.onnx", model, torch.randint(0, 1000, (3, 17)))


@pytest.mark.parametrize("names", [["logits"], ["output"]])
def test_bert_of_three_inputs(names):
    """A classifier with one output; the bare model gives two, of which the tutorial names one."""
    config = hf.BertConfig(max_position_embeddings=128, **TINY)
    model = hf.BertForSequenceClassification(config) if names == ["logits"] else hf.BertModel(config)
    model.eval()
    batch_size, seq_len = 1, 128
    input_ids = torch.randint(0, 100, (batch_size, seq_len))
    attention_mask = torch.ones((batch_size, seq_len), dtype=torch.long)
    token_type_ids = torch.zeros((batch_size, seq_len), dtype=torch.long)
    slipway.export(
        model,
        (input_ids, attention_mask, token_type_ids),
        "bert.onnx",
        opset_version=17,
        input_names=["input_ids", "attention_mask", "token_type_ids"],
        output_names=names,
        dynamic_axes={
            "input_ids": {0: "batch", 1: "seq"},
            "attention_mask": {0: "batch", 1: "seq"},
            "token_type_ids": {0: "batch", 1: "seq"},
            names[0]: {0: "batch"},
        },
        do_constant_folding=True,
        verbose=False,
    )
    assert slipway.InferenceSession("bert.onnx").get_outputs()[0].name == names[0]
    ids = torch.randint(0, 100, (4, 9))
    agrees("bert.onnx", model, ids, torch.ones_like(ids), torch.ones_like(ids))


@pytest.mark.parametrize("supported", [12, 14, 17, 19])
def test_opset_by_the_version_of_the_runtime(supported):
    model, dummy_input = EfficientClassifier().eval(), torch.randn(1, 3, 32, 32)
    slipway.export(model, dummy_input, "model.onnx", opset_version=supported)
    assert [o.version for o in onnx.load("model.onnx").opset_import if o.domain == ""] == [supported]
    agrees("model.onnx", model, dummy_input)


# ---- What the tutorials warn of ------------------------------------------------------------------------------


def test_forgotten_eval_is_told_and_harmless():
    model = nn.Sequential(ResNet(), nn.Dropout(0.5))
    report = slipway.export(model, torch.randn(1, 3, 64, 64), "model.onnx")
    assert any("training mode: exported in eval mode" in w and "model.eval()" in w for w in report.warnings)
    assert model.training
    agrees("model.onnx", model.eval(), torch.randn(1, 3, 64, 64))


def test_forgotten_dynamic_axes_is_told_where_it_hurts():
    slipway.export(EfficientClassifier().eval(), torch.randn(1, 3, 32, 32), "model.onnx", input_names=["input"])
    with pytest.raises(slipway.errors.Error, match=r"input 'input' wants float \[1, 3, 32, 32\], got float \[2,"):
        slipway.InferenceSession("model.onnx").run(None, {"input": np.zeros((2, 3, 32, 32), np.float32)})


def test_keys_that_do_not_match():
    """What the tutorial calls a silent failure later."""
    with pytest.raises(ExportError, match=r"dynamic_axes names 'inputs', which is neither .* 'input'"):
        slipway.export(
            EfficientClassifier().eval(), torch.randn(1, 3, 32, 32), "model.onnx", input_names=["input"],
            dynamic_axes={"inputs": {0: "batch"}},
        )  # fmt: skip


def test_devices_that_differ():
    model = EfficientClassifier().eval()
    model.head.to("meta")
    with pytest.raises(ExportError, match=r"device meta\): head\.weight, head\.bias"):
        slipway.export(model, torch.randn(1, 3, 32, 32), "model.onnx")


def test_unsupported_operator_is_named_with_its_line_and_what_to_do():
    class Model(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x @ x.mT)

    with pytest.raises(ExportError) as caught:
        slipway.export(Model(), torch.randn(3, 3), "model.onnx", opset_version=17)
    message = str(caught.value)
    for part in (
        "linalg_eigh",
        "opset 17",
        "test_export_listings.py",
        "eigvalsh(x @ x.mT)",
        "custom_translation_table",
    ):
        assert part in message, message


def test_size_taken_for_a_number():
    with pytest.raises(ExportError, match=r"(?s)cannot be dynamic.*export_models\.py"):
        slipway.export(Fixed(), torch.ones(3, 2), "m.onnx", dynamic_axes={"x": {0: "n"}}, strict_axes=True)
