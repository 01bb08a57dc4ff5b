"""Slipway beside PyTorch on ten well-known models at full size: batch 1, fp32, medians of runs made in turns.

python bench/models.py [--threads N] [--rounds N] [NAME ...]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import slipway
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "models"))
import zoo

IMAGES = ("resnet18", "resnet50", "mobilenetv2", "efficientnet_b0", "vit_b16", "convnext_t")
TEXTS = ("minilm_l6", "distilbert", "bert_base", "gpt2")


def measure(name, threads, rounds):
    """Medians in milliseconds of Slipway and PyTorch, and the largest error relative to the largest value."""
    feeds = zoo.feeds(name, {"batch": 1} if name in IMAGES else {"batch": 1, "seq": 128}, full=True)
    options = slipway.SessionOptions()
    options.intra_op_num_threads = threads
    session = slipway.InferenceSession(str(zoo.export(name, "dynamo", 18, full=True)), options)
    model = zoo.build(name, full=True)

    def run_torch():
        with torch.inference_mode():
            return model(*(torch.from_numpy(v) for v in feeds.values())).numpy()

    calls = (lambda: session.run(None, feeds)[0], run_torch)
    got, want = (call() for call in calls)
    spent = ([], [])
    for _ in range(rounds):
        for call, times in zip(calls, spent, strict=True):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
    ours, theirs = (statistics.median(times) for times in spent)
    return ours, theirs, np.abs(got - want).max() / np.abs(want).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("names", nargs="*", default=IMAGES + TEXTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'model':16} {'Slipway ms':>11} {'PyTorch ms':>11} {'ratio':>6} {'error':>8}   {arguments.threads} threads")
    for name in arguments.names:
        ours, theirs, error = measure(name, arguments.threads, arguments.rounds)
        print(f"{name:16} {ours:11.2f} {theirs:11.2f} {theirs / ours:6.2f} {error:8.1e}", flush=True)


if __name__ == "__main__":
    main()
