#!/usr/bin/env python3
"""Time tree ensembles against onnxruntime, in turns within one process.

    python tree_bench.py                       # 1000 trees, batches of 1 and 1000, 1 and 2 threads
    python tree_bench.py --trees 300 --depths 12 --batches 1,10,1000

Prints the best time of each and the median of the turns' ratios (above 1: Slipway is faster). Every run takes another
batch, so that no branch predictor has seen it. Needs: numpy, onnx, onnxruntime.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
import slipway

import onnx
from onnx import TensorProto, helper


def ensemble(rng: np.random.Generator, trees: int, depth: int, features: int) -> bytes:
    """A TreeEnsembleRegressor of full trees with random splits."""
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    ids = np.arange(nodes)
    leaf = ids >= inner

    def children(offset: int) -> list[int]:
        return np.tile(np.where(leaf, 0, 2 * ids + offset), trees).tolist()

    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=np.repeat(np.arange(trees), nodes).tolist(),
        nodes_nodeids=np.tile(ids, trees).tolist(),
        nodes_featureids=rng.integers(0, features, trees * nodes).tolist(),
        nodes_values=(rng.normal(size=trees * nodes) * 0.7).astype(np.float32).tolist(),
        nodes_modes=["LEAF" if at_end else "BRANCH_LEQ" for at_end in leaf] * trees,
        nodes_truenodeids=children(1),
        nodes_falsenodeids=children(2),
        target_treeids=np.repeat(np.arange(trees), nodes - inner).tolist(),
        target_nodeids=np.tile(ids[leaf], trees).tolist(),
        target_ids=[0] * (trees * (nodes - inner)),
        target_weights=rng.normal(size=trees * (nodes - inner)).astype(np.float32).tolist(),
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "trees", [x], [y]), opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def load(runtime, model: bytes, threads: int):
    """A session of a runtime with onnxruntime's names."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def best_of(session, batches: list[np.ndarray]) -> float:
    """The best time of a run, in seconds."""
    best = float("inf")
    for x in batches:
        start = time.perf_counter()
        session.run(None, {"x": x})
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Prints a line for each ensemble, number of threads and batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=1000)
    parser.add_argument("--depths", default="6,8,10")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--batches", default="1,1000")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for depth in map(int, args.depths.split(",")):
        model = ensemble(rng, args.trees, depth, args.features)
        for threads in map(int, args.threads.split(",")):
            peers = [load(runtime, model, threads) for runtime in (onnxruntime, slipway)]
            for rows in map(int, args.batches.split(",")):
                repeats = max(3, min(200, 2000 // rows))
                batches = [rng.normal(size=(rows, args.features)).astype(np.float32) for _ in range(repeats)]
                turns = [[best_of(session, batches) for session in peers] for _ in range(args.turns)]
                ort, ours = (1e6 * min(times) for times in zip(*turns, strict=True))
                ratio = statistics.median(a / b for a, b in turns)
                print(
                    f"{args.trees} trees of depth {depth}, {threads} threads, {rows} rows: "
                    f"onnxruntime {ort:.0f} us, slipway {ours:.0f} us, ratio {ratio:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
