"""What the benchmarks conclude from their measurements."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import guard
import report


def result(slipway=2.0):
    engines = {
        e: {"p50_ms": ms, "best_ms": ms, "load_ms": 10 * ms, "first_ms": ms, "peak_mb": 100 / ms, "error": 0.0}
        for e, ms in {"slipway": slipway, "onnxruntime": 3.0, "torch": 6.0}.items()
    }
    machine = {"cpu": "a <CPU>", "cores": 2, "isa": "avx2", "onnxruntime": "1", "torch": "2"}
    settings = {"threads": 2, "batch": 1, "rounds": 5, "seconds": 4}
    models = {"resnet18": {"engines": engines, "ratio": 1.5, "to_torch": 3.0}}
    return {"machine": machine, "settings": settings, "models": models}


@pytest.mark.parametrize(
    ("first", "more", "measurements", "fallen"),
    [
        (1.0, [], 0, False),
        (0.86, [], 0, False),
        (0.84, [0.9], 1, False),
        (0.5, [0.5, 0.6, 0.7, 0.84], 4, True),
        (0.5, [0.5, 0.6, 0.7, 0.86], 4, False),
    ],
)
def test_a_fall_is_measured_again_before_it_counts(first, more, measurements, fallen):
    left = list(more)
    ratio = guard.confirmed(first, 1.0, lambda i: left.pop(0))
    assert len(more) - len(left) == measurements
    assert guard.falls(ratio, 1.0) == fallen


@pytest.mark.parametrize("build", guard.MODELS, ids=lambda b: b.__name__)
def test_the_guard_s_models_run_in_both_engines(build):
    for call in guard.sessions(build):
        assert len(call()) == 1


def test_the_ratio_is_theirs_by_ours():
    times = iter(range(10**6))

    def slow():
        for _ in range(20000):
            next(times)

    assert guard.measure([lambda: None, slow], rounds=3, seconds=0.001) > 2


def test_readme_s_table_is_written_between_its_markers():
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    new = report.with_table(readme, result())
    assert new.startswith("before\n") and new.endswith("after\n") and "old" not in new
    assert "| resnet18 | 2.0 | 3.0 | 6.0 | 22 / 33 | 50 / 33 | 1.50x |" in new
    assert "3.00x against PyTorch" in new
    assert report.with_table(new, result()) == new
    assert report.with_table(new, result(2.5)) != new


def test_readme_has_the_markers():
    text = (report.ROOT / "README.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_the_page_has_a_plot_for_each_measure():
    page = report.page({"models.json": result()})
    assert page.count("<svg") == 1 + len(report.MEASURES)
    assert "a &lt;CPU&gt;" in page
