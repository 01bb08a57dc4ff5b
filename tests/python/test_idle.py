"""A process that has run a model and waits uses no CPU."""

import subprocess
import sys

PROGRAM = """
import time
import numpy as np, onnx, slipway
from onnx import helper

x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 512])
w = onnx.numpy_helper.from_array(np.ones((512, 512), np.float32), "w")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x],
                          [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)], [w])
session = slipway.InferenceSession(helper.make_model(graph, ir_version=8).SerializeToString())
feeds = {"x": np.ones((256, 512), np.float32)}
for _ in range(20):
    session.run(None, feeds)
time.sleep(0.2)  # workers stop spinning within milliseconds
before = time.process_time()
time.sleep(1.5)
print(time.process_time() - before)
"""


def test_an_idle_process_uses_no_cpu():
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 0.005, f"{float(out.stdout) * 1e3:.1f} ms of CPU in 1.5 s of doing nothing"
