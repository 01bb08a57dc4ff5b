"""slipway.export on the architectures that people use, small: one export each, compared with PyTorch at other sizes."""

import warnings

import numpy as np
import pytest
import slipway
import torch
import transformers as hf
from torch import nn

import onnx

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
DECODER = {"vocab_size": 90, "max_position_embeddings": 64, "num_key_value_heads": 2, "use_cache": False, **TINY}


def ids(n, t, vocabulary=90):
    return torch.randint(3, vocabulary, (n, t))


def text(n, t):
    mask = torch.ones(n, t, dtype=torch.int64)
    if n > 1:
        mask[0, t - t // 3 :] = 0
    return {"input_ids": ids(n, t), "attention_mask": mask}


def image(size=32):
    return lambda n, _: {"pixel_values": torch.randn(n, 3, size, size)}


BATCH_TIME = {0: "batch", 1: "sequence"}
TEXT = {"input_ids": BATCH_TIME, "attention_mask": BATCH_TIME}
IMAGE = {"pixel_values": {0: "batch"}}


def whisper():
    return hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(
            vocab_size=90, num_mel_bins=16, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=20,
            max_target_positions=30, decoder_start_token_id=1, bos_token_id=1, eos_token_id=2, pad_token_id=0,
            suppress_tokens=[], begin_suppress_tokens=[], use_cache=False,
        )
    )  # fmt: skip


def segformer():
    return hf.SegformerForSemanticSegmentation(
        hf.SegformerConfig(
            hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 3, 4],
            decoder_hidden_size=32, num_labels=4,
        )
    )  # fmt: skip


def wav2vec2():
    return hf.Wav2Vec2ForCTC(
        hf.Wav2Vec2Config(
            vocab_size=20, conv_dim=[16, 16], conv_stride=[5, 2], conv_kernel=[10, 3], num_feat_extract_layers=2,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, **TINY,
        )
    )  # fmt: skip


def clip():
    part = {"max_position_embeddings": 32, "bos_token_id": 0, "eos_token_id": 89, "vocab_size": 90, **TINY}
    vision = {"image_size": 32, "patch_size": 8, **TINY}
    return hf.CLIPModel(hf.CLIPConfig(text_config=part, vision_config=vision, projection_dim=24))


def clip_inputs(n, t):
    return text(n, t) | {"pixel_values": torch.randn(n, 3, 32, 32)}


class Detector(nn.Module):
    """Anchor points from the feature map's size, decoded boxes, the best ten."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.SiLU())
        self.classes, self.boxes = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 4, 1)

    def forward(self, pixel_values):
        x = self.backbone(pixel_values)
        h, w = x.shape[-2:]
        ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        points = torch.stack([xs, ys], -1).reshape(-1, 2).to(x.dtype)
        sides = self.boxes(x).flatten(2).transpose(1, 2).exp()
        boxes = torch.cat([points - sides[..., :2], points + sides[..., 2:]], -1)
        scores, best = self.classes(x).flatten(2).transpose(1, 2).amax(-1).topk(10, dim=1)
        return boxes.gather(1, best[..., None].expand(-1, -1, 4)), scores


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(90, 12)
        self.lstm = nn.LSTM(12, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(32, 8, batch_first=True)

    def forward(self, input_ids):
        y, (h, _) = self.lstm(self.embed(input_ids))
        return self.gru(y)[0], h


def residual():
    return hf.ResNetForImageClassification(
        hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5)
    )


# name: model, inputs(batch, length), dynamic axes, other (batch, length)
MODELS = {
    "bert": (lambda: hf.BertModel(hf.BertConfig(vocab_size=90, **TINY)), text, TEXT, [(3, 7)]),
    "distilbert": (
        lambda: hf.DistilBertForSequenceClassification(
            hf.DistilBertConfig(vocab_size=90, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
        ),
        text, TEXT, [(2, 21)],
    ),
    "roberta": (
        lambda: hf.RobertaForMaskedLM(hf.RobertaConfig(vocab_size=90, max_position_embeddings=64, **TINY)),
        text, TEXT, [(2, 9)],
    ),
    "gpt2": (
        lambda: hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=90, n_positions=64, n_embd=32, n_layer=2, n_head=4,
                                                 use_cache=False)),
        text, TEXT, [(2, 9), (1, 1)],
    ),
    "t5": (
        lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, use_cache=False,
                        decoder_start_token_id=0)
        ),
        lambda n, t: text(n, t) | {"decoder_input_ids": ids(n, t // 2)},
        TEXT | {"decoder_input_ids": {0: "batch", 1: "target"}}, [(2, 20)],
    ),
    "llama": (lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**DECODER)), text, TEXT, [(3, 5), (2, 33)]),
    "mistral": (lambda: hf.MistralForCausalLM(hf.MistralConfig(sliding_window=None, **DECODER)), text, TEXT, [(3, 5)]),
    "qwen2": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**DECODER)), text, TEXT, [(2, 6)]),
    "mixtral": (lambda: hf.MixtralForCausalLM(hf.MixtralConfig(num_local_experts=4, **DECODER)), text, TEXT, [(2, 6)]),
    "deberta": (
        lambda: hf.DebertaV2Model(hf.DebertaV2Config(vocab_size=90, relative_attention=True, position_buckets=8,
                                                     pos_att_type=["c2p", "p2c"], share_att_key=True, **TINY)),
        text, TEXT, [(2, 9)],
    ),
    "fnet": (
        lambda: hf.FNetModel(hf.FNetConfig(vocab_size=90, hidden_size=32, num_hidden_layers=2, intermediate_size=64)),
        lambda n, t: {"input_ids": ids(n, t)}, {"input_ids": BATCH_TIME}, [(2, 9)],
    ),
    "vit": (
        lambda: hf.ViTForImageClassification(hf.ViTConfig(image_size=32, patch_size=8, num_labels=5, **TINY)),
        image(), IMAGE, [(4, 0)],
    ),
    "clip": (clip, clip_inputs, TEXT | IMAGE, [(3, 7)]),
    "whisper": (
        whisper, lambda n, t: {"input_features": torch.randn(n, 16, 40), "decoder_input_ids": ids(n, t)},
        {"input_features": {0: "batch"}, "decoder_input_ids": BATCH_TIME}, [(2, 5)],
    ),
    "swin": (
        lambda: hf.SwinForImageClassification(
            hf.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4,
                          num_labels=5)
        ),
        image(), IMAGE, [(3, 0)],
    ),
    "segformer": (segformer, image(64), IMAGE, [(2, 0)]),
    "wav2vec2": (
        wav2vec2, lambda n, t: {"input_values": torch.randn(n, 40 * t)}, {"input_values": {0: "batch", 1: "samples"}},
        [(2, 23)],
    ),
    "resnet": (residual, image(), IMAGE, [(3, 0)]),
    "detector": (Detector, image(), IMAGE, [(2, 0)]),
    "recurrent": (Recurrent, lambda n, t: {"input_ids": ids(n, t)}, {"input_ids": BATCH_TIME}, [(3, 5)]),
}  # fmt: skip


def outputs_of(model, inputs):
    with torch.no_grad():
        return [t.numpy() for t in torch.utils._pytree.tree_leaves(model(**inputs)) if isinstance(t, torch.Tensor)]


@pytest.mark.parametrize("name", MODELS)
def test_model(name, tmp_path):
    make, inputs, axes, others = MODELS[name]
    torch.manual_seed(1)
    model = make().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", slipway.errors.ExportWarning)
        report = slipway.export(model, (), tmp_path / "m.onnx", kwargs=inputs(1, 16), dynamic_axes=axes, progress=False)
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    assert report.ok, str(report)
    assert all(a.dynamic for a in report.axes), str(report)
    session = slipway.InferenceSession(str(tmp_path / "m.onnx"))
    names = {i.name for i in session.get_inputs()}
    for n, t in others:
        feeds = inputs(n, t)
        got = session.run(None, {k: v.numpy() for k, v in feeds.items() if k in names})
        for a, b in zip(got, outputs_of(model, feeds), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_key_value_cache_of_transformers():
    """A decoding step: transformers' cache goes in and comes out as its tensors."""
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**(DECODER | {"use_cache": True}))).eval()
    past = hf.DynamicCache()
    with torch.no_grad():
        model(ids(1, 6), past_key_values=past, use_cache=True)
    axes = {"input_ids": {0: "batch", 1: "new"}}
    for i in range(2):
        axes |= {f"past_key_values_{i}_{j}": {0: "batch", 2: "past"} for j in range(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", slipway.errors.ExportWarning)
        report = slipway.export(
            model, (), None, kwargs={"input_ids": ids(1, 1), "past_key_values": past, "use_cache": True},
            dynamic_axes=axes, progress=False,
        )  # fmt: skip
    assert report.ok, str(report)
    session = slipway.InferenceSession(report.model)
    assert [o.name for o in session.get_outputs()][:2] == ["logits", "past_key_values_0_0_out"]
    assert next(i for i in session.get_inputs() if i.name.endswith("_0_0")).shape == ["batch", 2, "past", 8]
