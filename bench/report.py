"""Makes bench/results/index.html, a page of plots, and README's table from bench/results/*.json.

python bench/report.py [--check]    with --check, fails where README's table is not what models.json gives
"""

import argparse
import html
import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
BEGIN, END = "<!-- from bench/results/models.json -->", "<!-- end -->"
COLORS = {"slipway": "#0b6e99", "onnxruntime": "#b8bec4", "torch": "#e0a458"}
MEASURES = {
    "p50_ms": "Latency, median, ms",
    "load_ms": "Session creation, ms",
    "first_ms": "First run, ms",
    "peak_mb": "Peak memory over import, MB",
}


def table(result):
    """README's table, between its markers."""
    m, s = result["machine"], result["settings"]
    rows = [
        f"Milliseconds at batch {s['batch']}, fp32, 224 x 224 pixels or 128 tokens, {s['threads']} threads, "
        f"medians of {s['rounds']} rounds by turns in one run",
        f"on {m['cores']} cores of {m['cpu']} ({m['isa']}); onnxruntime {m['onnxruntime']}, PyTorch {m['torch']}. "
        "The last column is the better",
        "peer's time by Slipway's, the median over rounds. `make bench` measures this anew.",
        "",
        "| model | Slipway | onnxruntime | PyTorch | load and first run: Slipway / onnxruntime "
        "| peak MB over import | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in result["models"].items():
        mine, ort, torch = (r["engines"][e] for e in ("slipway", "onnxruntime", "torch"))
        start = " / ".join(f"{e['load_ms'] + e['first_ms']:.0f}" for e in (mine, ort))
        memory = f"{mine['peak_mb']:.0f} / {ort['peak_mb']:.0f}"
        times = " | ".join(f"{e['p50_ms']:.1f}" for e in (mine, ort, torch))
        rows.append(f"| {name} | {times} | {start} | {memory} | {r['ratio']:.2f}x |")
    ratios = [r["ratio"] for r in result["models"].values()]
    to_torch = [r["to_torch"] for r in result["models"].values()]
    mean, torch_mean = statistics.geometric_mean(ratios), statistics.geometric_mean(to_torch)
    rows += ["", f"Geometric mean {mean:.2f}x; {torch_mean:.2f}x against PyTorch alone."]
    return "\n".join([BEGIN, *rows, END])


def with_table(readme, result):
    """README's text with the table in its place."""
    begin, end = readme.index(BEGIN), readme.index(END) + len(END)
    return readme[:begin] + table(result) + readme[end:]


def plot(title, groups):
    """Bars side by side as SVG: groups is {model: {engine: value}}; bars of a model are drawn to its largest."""
    bar, gap, left, width = 13, 12, 130, 420
    parts, y = [], 8
    for model, values in groups.items():
        middle = y + bar * len(values) / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle:.0f}" text-anchor="end">{html.escape(model)}</text>')
        most = max(values.values()) or 1
        for engine, value in values.items():
            length = width * value / most
            color = COLORS.get(engine, "#888")
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" fill="{color}"/>')
            parts.append(f'<text x="{left + length + 5:.1f}" y="{y + bar - 3}" class="n">{value:.3g}</text>')
            y += bar
        y += gap
    size = f'width="{left + width + 60}" height="{y}"'
    return f"<h3>{html.escape(title)}</h3>\n<svg {size}>{''.join(parts)}</svg>\n"


def page(results):
    """The whole page: every file's measures, a plot each."""
    body = []
    for file, result in results.items():
        m, s = result["machine"], result["settings"]
        about = ", ".join(f"{k} {v}" for k, v in (m | s).items())
        body.append(f"<h2>{html.escape(file)}</h2>\n<p>{html.escape(about)}</p>\n")
        ratios = {name: {"slipway": r["ratio"]} for name, r in result["models"].items()}
        body.append(plot("Times as fast as the better peer", ratios))
        for key, title in MEASURES.items():
            groups = {n: {e: v[key] for e, v in r["engines"].items()} for n, r in result["models"].items()}
            body.append(plot(title, groups))
    legend = " ".join(f'<span style="color:{c}">&#9632;</span> {e}' for e, c in COLORS.items())
    style = "body{font:14px sans-serif;margin:2em}svg text{font:12px sans-serif}.n{fill:#555}"
    head = f'<!doctype html>\n<meta charset="utf-8">\n<title>Slipway: measured</title>\n<style>{style}</style>\n'
    return f"{head}<h1>Slipway: measured</h1>\n<p>{legend}</p>\n{''.join(body)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    a = parser.parse_args()
    files = sorted(RESULTS.glob("models*.json"))
    results = {f.name: json.loads(f.read_text()) for f in files}
    readme = ROOT / "README.md"
    text = readme.read_text()
    new = with_table(text, results["models.json"]) if "models.json" in results else text
    if a.check:
        return sys.exit("README's table is not that of bench/results: python bench/report.py") if new != text else None
    readme.write_text(new)
    (RESULTS / "index.html").write_text(page(results))
    print(f"wrote {RESULTS / 'index.html'} and README's table")


if __name__ == "__main__":
    main()
