"""Slipway beside onnxruntime and PyTorch on ten well-known models at full size, each in a process of its own, by turns.

python bench/models.py [--threads N] [--batch N] [--rounds N] [--seconds S] [NAME ...]

Writes bench/results/models.json (with other settings than 2 threads and batch 1, models-tN-bN.json), from which
report.py makes the page of plots and README's table.
"""

import argparse
import json
import math
import platform
from pathlib import Path

import numpy as np
from engines import Engine, ratio, take_turns
from names import one_of

RESULTS = Path(__file__).resolve().parent / "results"
IMAGES = ("resnet18", "resnet50", "mobilenetv2", "efficientnet_b0", "vit_b16", "convnext_t")
TEXTS = ("minilm_l6", "distilbert", "bert_base", "gpt2")
ENGINES = ("slipway", "onnxruntime", "torch")


def machine():
    """What the numbers hold for."""
    import onnxruntime
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split("\t: ", 1) for line in lines if "\t: " in line)
    flags = fields.get("flags", "").split()
    return {
        "cpu": " ".join(fields.get("model name", platform.machine()).split()),
        "cores": sum(line.startswith("processor") for line in lines),
        "isa": next((isa for isa in ("avx512f", "avx2", "sse4_1") if isa in flags), platform.machine()),
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
    }


def measure(name, a):
    """Each engine's numbers on a model, and the ratio to the better peer."""
    import zoo

    feeds = zoo.feeds(name, {"batch": a.batch} if name in IMAGES else {"batch": a.batch, "seq": 128}, full=True)
    file = str(zoo.export(name, "dynamo", 18, full=True))
    for part in Path(file).parent.glob(Path(file).name + "*"):
        part.read_bytes()  # The first engine would read it from the disk, and the others from memory.
    engines = {e: Engine(e, a.threads, name if e == "torch" else file, feeds) for e in ENGINES}
    try:
        take_turns(list(engines.values()), a.rounds, a.seconds / a.rounds)
    finally:
        for engine in engines.values():
            engine.close()
    want = engines["torch"].first["output"]
    rows = {}
    for e, engine in engines.items():
        error = np.abs(engine.first["output"] - want).max() / np.abs(want).max()
        rows[e] = {
            "p50_ms": float(np.median(engine.times)),
            "best_ms": min(engine.times),
            "load_ms": engine.first["load_ms"],
            "first_ms": engine.first["first_ms"],
            "peak_mb": engine.mb,
            "error": float(error),
        }
    mine = engines["slipway"]
    peers = {"ratio": [engines["onnxruntime"], engines["torch"]], "to_torch": [engines["torch"]]}
    return {"engines": rows} | {key: ratio(mine, p) for key, p in peers.items()}


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="measured time for each engine and model")
    parser.add_argument("--out", type=Path, help="the file of results")
    parser.add_argument("names", nargs="*", default=IMAGES + TEXTS, type=one_of(IMAGES + TEXTS))
    a = parser.parse_args()
    plain = a.threads == 2 and a.batch == 1
    out = a.out or RESULTS / ("models.json" if plain else f"models-t{a.threads}-b{a.batch}.json")
    print(f"{'model':16} {'engine':12} {'p50 ms':>8} {'load':>8} {'first':>8} {'peak MB':>8} {'error':>8}")
    results = {}
    for name in a.names:
        results[name] = measure(name, a)
        for e, row in results[name]["engines"].items():
            numbers = f"{row['p50_ms']:8.2f} {row['load_ms']:8.1f} {row['first_ms']:8.1f} {row['peak_mb']:8.0f}"
            print(f"{name:16} {e:12} {numbers} {row['error']:8.1e}")
        print(f"{name:16} {results[name]['ratio']:.2f}x the better peer", flush=True)
    mean = geometric_mean(r["ratio"] for r in results.values())
    print(f"geometric mean {mean:.2f}x; to PyTorch {geometric_mean(r['to_torch'] for r in results.values()):.2f}x")
    settings = {"threads": a.threads, "batch": a.batch, "rounds": a.rounds, "seconds": a.seconds}
    out.parent.mkdir(exist_ok=True, parents=True)
    out.write_text(json.dumps({"machine": machine(), "settings": settings, "models": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
