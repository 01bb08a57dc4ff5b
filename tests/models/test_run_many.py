"""Requests of different sizes together: what InferenceSession.run_many gives is what each request gives alone."""

import functools
import io
import random

import numpy as np
import pytest
import slipway
import torch
import transformers as tf
import zoo
from slipway.quantization import quantize_dynamic
from torch import nn

FILES = [
    (name, exporter, opset)
    for name in ("minilm_l6", "distilbert", "bert_base", "bert_three_inputs", "gpt2", "all_minilm_l6_v2")
    for exporter, opset in (("dynamo", 18), ("dynamo", 25), ("torchscript", 14), ("torchscript", 18))
]
BOUND = 4e-5  # Largest error relative to the largest value: the rounding of sums in another order.


class SentenceEncoder(nn.Module):
    """Means over the tokens that the mask keeps, of length 1, as sentence-transformers has them."""

    def __init__(self):
        super().__init__()
        small = dict(vocab_size=zoo.TOKENS, hidden_size=64, num_hidden_layers=2, num_attention_heads=2)
        self.bert = tf.BertModel(tf.BertConfig(intermediate_size=128, **small), add_pooling_layer=False)

    def forward(self, input_ids, attention_mask):
        hidden = self.bert(input_ids, attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=-1)


class Classifier(nn.Module):
    """A family of transformers as a plain function; RoBERTa counts positions where there are tokens."""

    def __init__(self, kind, config, **rest):
        super().__init__()
        small = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
        self.model = kind(config(vocab_size=zoo.TOKENS, num_labels=3, **(small | rest)))

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask).logits


MADE = {
    "sentence_encoder": SentenceEncoder,
    "roberta": lambda: Classifier(tf.RobertaForSequenceClassification, tf.RobertaConfig),
    "electra": lambda: Classifier(tf.ElectraForTokenClassification, tf.ElectraConfig, embedding_size=32),
    "mpnet": lambda: Classifier(tf.MPNetForTokenClassification, tf.MPNetConfig),
    "albert": lambda: Classifier(tf.AlbertForSequenceClassification, tf.AlbertConfig, embedding_size=32),
}


@functools.cache
def made(name, axes=("batch", "seq", "batch", "seq")):
    torch.manual_seed(0)
    model = MADE[name]().eval()
    zoo.stir(model)
    example = torch.ones(2, 8, dtype=torch.long)
    names, file = ["input_ids", "attention_mask"], io.BytesIO()
    with zoo.quiet():
        torch.onnx.export(
            model,
            (example, example.clone()),
            file,
            input_names=names,
            output_names=["out"],
            opset_version=17,
            dynamo=False,
            dynamic_axes={n: dict(enumerate(axes[2 * i : 2 * i + 2])) for i, n in enumerate(names)},
        )
    return file.getvalue()


def request(session, batch, length, draw):
    """Token ids; a mask that keeps the first token and hides some of the others; types."""
    shape, feeds = (batch, length), {}
    for value in session.get_inputs():
        if value.name == "attention_mask":
            mask = (draw.random(shape) > 0.2).astype(np.int64)
            mask[:, 0] = 1
            feeds[value.name] = mask
        else:
            high = 2 if value.name == "token_type_ids" else zoo.TOKENS
            feeds[value.name] = draw.integers(0, high, shape)
    return feeds


def check(session, sizes, seed):
    draw = np.random.default_rng(seed)
    requests = [request(session, batch, length, draw) for batch, length in sizes]
    ran = []
    together = session._native.run_many(None, requests, None, ran)
    assert len(together) == len(requests)
    # One that fails is run again request by request, which is not what is to be tested.
    assert len(requests) == 1 or any(op == "PerRequest" for _, op, _ in ran)
    for number, (got, feeds) in enumerate(zip(together, requests, strict=True)):
        for g, w in zip(got, session.run(None, feeds), strict=True):
            assert (g.shape, g.dtype) == (w.shape, w.dtype), f"request {number}"
            error = np.abs(g - w).max() / np.abs(w).max()
            assert error < BOUND, f"request {number} of {sizes}: error {error:.2e} relative to the largest value"


def check_all(session):
    assert session.packing.packed, session.packing.reason
    check(session, [(1, 9)], 0)
    check(session, [(1, 12)] * 4, 1)
    check(session, [(1, 5), (1, 1), (1, 33), (1, 2), (1, 5)], 2)
    check(session, [(2, 7), (1, 3), (3, 1), (1, 40)], 3)
    draw = random.Random(4)
    for seed in range(5):
        check(session, [(draw.randint(1, 2), draw.randint(1, 50)) for _ in range(draw.randint(2, 12))], 10 + seed)


def options(level):
    made = slipway.SessionOptions()
    made.intra_op_num_threads = 2
    made.graph_optimization_level = level
    return made


@pytest.mark.parametrize("file", FILES, ids=lambda f: "-".join(map(str, f)))
def test_exported(file):
    try:
        path = str(zoo.export(*file))
    except zoo.CannotExport as reason:
        if not zoo.may_refuse(*file):
            raise
        pytest.skip(str(reason))
    for level in (slipway.GraphOptimizationLevel.ORT_DISABLE_ALL, slipway.GraphOptimizationLevel.ORT_ENABLE_ALL):
        check_all(slipway.InferenceSession(path, options(level)))


@pytest.mark.parametrize("name", MADE)
def test_kinds_of_encoders(name):
    check_all(slipway.InferenceSession(made(name), options(slipway.GraphOptimizationLevel.ORT_ENABLE_ALL)))


def test_axes_with_names_of_their_own():
    model = made("sentence_encoder", ("ids_0", "ids_1", "mask_0", "mask_1"))
    check_all(slipway.InferenceSession(model, options(slipway.GraphOptimizationLevel.ORT_ENABLE_ALL)))


def test_compiled(tmp_path):
    (tmp_path / "model.onnx").write_bytes(made("sentence_encoder"))
    slipway.compile_model(tmp_path / "model.onnx", tmp_path / "model.slipway")
    check_all(slipway.InferenceSession(tmp_path / "model.slipway"))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "efficientnet_b0", "convnext_t", "vit_b16"])
def test_images_are_one_batch(name):
    session = slipway.InferenceSession(str(zoo.export(name, "dynamo", 18)))
    assert session.packing.packed, session.packing.reason
    images = [zoo.feeds(name, {"batch": n}, seed=n) for n in (1, 2, 1)]
    together, alone = [], []
    for got, feeds in zip(session._native.run_many(None, images, None, together), images, strict=True):
        want = session._native.run(None, feeds, None, alone)
        assert np.abs(got[0] - want[0]).max() < BOUND * np.abs(want[0]).max()
    assert len(together) < len(alone) / 2


def test_what_needs_a_whole_request_runs_in_turn(tmp_path):
    """Bytes with one scale for all of a request's tokens: other tokens would change it."""
    quantize_dynamic(str(zoo.export("bert_base", "dynamo", 18)), str(tmp_path / "int8.onnx"))
    session = slipway.InferenceSession(tmp_path / "int8.onnx")
    assert not session.packing.packed
    assert "(DynamicQuantizeLinear)" in session.packing.reason
    draw = np.random.default_rng(0)
    requests = [request(session, 1, n, draw) for n in (5, 9, 1, 30)]
    for got, feeds in zip(session.run_many(None, requests), requests, strict=True):
        np.testing.assert_array_equal(got[0], session.run(None, feeds)[0])


def test_what_runs_apart_is_said():
    session = slipway.InferenceSession(made("sentence_encoder"))
    reasons = dict(session.packing.apart)
    attention = [why for node, why in reasons.items() if "Attention)" in node]
    assert len(attention) == 2
    assert all("attends to others of its request" in why for why in attention)
    assert "packed=True" in repr(session.packing)


def test_bad_requests_are_named():
    session = slipway.InferenceSession(made("sentence_encoder"))
    good = {"input_ids": np.ones((1, 4), np.int64), "attention_mask": np.ones((1, 4), np.int64)}
    bad_word = good | {"input_ids": np.full((1, 4), zoo.TOKENS)}
    for bad, message in (
        ({}, "request 1: .*'input_ids'"),
        (bad_word, "request 1: "),
        (good | {"attention_mask": np.ones((1, 4), np.float32)}, "request 1: .*attention_mask"),
        ([], "request 1: a request is a dict"),
    ):
        with pytest.raises(slipway.Error, match=message):
            session.run_many(None, [good, bad, good])
    assert session.run_many(None, []) == []
    assert [a.shape for (a,) in session.run_many(["out"], [good, good])] == [(1, 64)] * 2
