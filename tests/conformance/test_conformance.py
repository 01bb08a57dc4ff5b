"""ONNX's own backend tests give what ledger.txt says; conformance.py writes it anew."""

import conformance
import pytest

LEDGER = conformance.read_ledger()


@pytest.fixture(scope="module")
def cases():
    return {c.name: c for c in conformance.cases()}


@pytest.fixture(scope="module")
def results(cases, request):
    chosen = {i.callspec.params["name"] for i in request.session.items if i.originalname == "test_backend"}
    return conformance.run_all([case for name, case in cases.items() if name in chosen])


def test_ledger_has_every_test(cases):
    assert sorted(LEDGER) == sorted(cases), "run tests/conformance/conformance.py"


@pytest.mark.parametrize("name", LEDGER)
def test_backend(name, results):
    got = results.get(name, "no such test")
    if LEDGER[name] == conformance.PASS:
        assert got == conformance.PASS
    else:
        assert got != conformance.PASS, "passes now: run tests/conformance/conformance.py"
