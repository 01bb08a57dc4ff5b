"""Where the time of the ten models goes: runs `slipway bench --profile` and writes the table in docs/performance.md.

python bench/profiles.py [--threads N] [--slipway PATH] [NAME ...]

A row is an operator type: its share of the model's time, and its rates beside the machine's peaks, which are measured
in the same runs. Types under 1% are added up. Writes bench/results/profile.json too.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- from bench/profiles.py -->", "<!-- end of the profile -->"


def ask(program, *arguments):
    """What a command of the program says as JSON."""
    command = [str(c) for c in (program, *arguments, "--json")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def profile(program, name, threads, seconds):
    """What `slipway bench --profile` says of a model at batch 1."""
    import zoo
    from models import IMAGES

    feeds = zoo.feeds(name, {"batch": 1} if name in IMAGES else {"batch": 1, "seq": 128}, full=True)
    shapes = [w for i, x in feeds.items() for w in ("--shape", f"{i}={'x'.join(map(str, x.shape))}")]
    arguments = [zoo.export(name, "dynamo", 18, full=True), *shapes, "--threads", threads, "--seconds", seconds]
    return ask(program, "bench", *arguments, "--profile")["results"][0]


def share_of(rate, peak):
    return f"{rate / peak:.0%}" if rate and peak else ""


def rows(name, result):
    """The table's lines of a model."""
    peak = result["profile"]["peak"]
    shown = [e for e in result["profile"]["operators"] if e["share"] >= 0.01]
    flops = sum(e["flops"] for e in result["profile"]["operators"])
    time = sum(e["ms"] for e in result["profile"]["operators"])
    all_flops = share_of(flops / time * 1e3, peak["flops_per_second"])
    yield f"| **{name}** | {result['p50_ms']:.2f} | | {flops / 1e9:.1f} | {all_flops} | |"
    for e in shown:
        yield (
            f"| {e['calls']} {e['op_type']} | {e['ms']:.2f} | {e['share']:.0%} | "
            f"{e['flops'] / 1e9:.2f} | {share_of(e['flops_per_second'], peak['flops_per_second'])} | "
            f"{share_of(e['bytes_per_second'], peak['bytes_per_second'])} |"
        )
    rest = sum(e["share"] for e in result["profile"]["operators"] if e not in shown)
    if rest >= 0.001:
        yield f"| the rest | {rest * time:.2f} | {rest:.1%} | | | |"


def table(results, threads):
    flops, reads = (
        statistics.median(r["profile"]["peak"][key] for r in results.values()) / 1e9
        for key in ("flops_per_second", "bytes_per_second")
    )
    lines = [
        BEGIN,
        f"{threads} threads, batch 1, 224 x 224 pixels or 128 tokens. Peaks measured in the same runs (medians): "
        f"{flops:.0f} GFLOP/s of",
        f"multiply-adds, {reads:.1f} GB/s read.",
        "",
        "| model, operators | ms | share | GFLOP | of the FLOP peak | of the read peak |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        lines += rows(name, result)
    return "\n".join([*lines, END])


def main():
    from models import IMAGES, TEXTS
    from names import one_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--slipway", default=str(ROOT / "build" / "release" / "cli" / "slipway"))
    parser.add_argument("names", nargs="*", default=IMAGES + TEXTS, type=one_of(IMAGES + TEXTS))
    a = parser.parse_args()
    results = {}
    for name in a.names:
        results[name] = profile(a.slipway, name, a.threads, a.seconds)
        print("\n".join(rows(name, results[name])), flush=True)
    if a.names != IMAGES + TEXTS:
        return
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    (ROOT / "bench" / "results" / "profile.json").write_text(json.dumps(results, indent=1) + "\n")
    page = ROOT / "docs" / "performance.md"
    text = page.read_text()
    begin, end = text.index(BEGIN), text.index(END) + len(END)
    page.write_text(text[:begin] + table(results, a.threads) + text[end:])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "bench"))
    import engines  # noqa: F401  # makes the models' zoo known

    main()
