"""Peak memory over import of each engine, and how it grows with many input shapes.

python bench/memory.py [--shapes N] [NAME ...]    10 models; then minilm_l6 at random batches and lengths

A model's peak is after its first runs. Growth: the model runs at N random shapes of up to 4 x 128 tokens; what its
peak then is over the peak of a process that ran only the largest shape. Writes bench/results/memory.json.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import numpy as np
from engines import peak_mb
from names import one_of

RESULTS = Path(__file__).resolve().parent / "results"
ENGINES = ("slipway", "onnxruntime")
LARGEST = (4, 128)


def _measure(connection, engine, file, feeds_list):
    runtime = __import__(engine)
    base = peak_mb()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 2
    session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for feeds in feeds_list:
        session.run(None, feeds)
    connection.send(peak_mb() - base)


def peak(engine, file, feeds_list):
    """MB over import, after a run for each of the feeds, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, engine, file, feeds_list))
    process.start()
    mb = ours.recv()
    process.join()
    return mb


def main():
    import zoo
    from models import IMAGES, TEXTS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("names", nargs="*", default=IMAGES + TEXTS, type=one_of(IMAGES + TEXTS))
    a = parser.parse_args()
    results = {"models": {}, "growth": {}}
    for name in a.names:
        feeds = zoo.feeds(name, {"batch": 1} if name in IMAGES else {"batch": 1, "seq": 128}, full=True)
        file = str(zoo.export(name, "dynamo", 18, full=True))
        mb = results["models"][name] = {e: peak(e, file, [feeds] * 3) for e in ENGINES}
        ours = mb["slipway"] / mb["onnxruntime"]
        print(f"{name:16} {mb['slipway']:6.0f} MB, onnxruntime {mb['onnxruntime']:6.0f} MB: {ours:.2f}", flush=True)
    random = np.random.default_rng(0)
    sizes = [
        (int(random.integers(1, LARGEST[0] + 1)), int(random.integers(8, LARGEST[1] + 1))) for _ in range(a.shapes)
    ]
    shapes = [zoo.feeds("minilm_l6", {"batch": b, "seq": s}, full=True) for b, s in [*sizes, LARGEST]]
    file = str(zoo.export("minilm_l6", "dynamo", 18, full=True))
    for e in ENGINES:
        one, many = peak(e, file, shapes[-1:] * 2), peak(e, file, shapes)
        results["growth"][e] = {"largest_shape_mb": one, "all_shapes_mb": many, "growth": many / one - 1}
        print(
            f"{a.shapes} shapes of minilm_l6, {e:12} {one:6.0f} MB -> {many:6.0f} MB: {many / one - 1:+.1%}", flush=True
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
