"""MONAI Label's own endpoint tests, which its wheel installs, against our real server."""

import importlib.util
import sys
import unittest
from pathlib import Path
from types import ModuleType, SimpleNamespace

import httpx
import pytest

pytestmark = [
    pytest.mark.acceptance,
    # Their code opens files and clients that it never closes, and calls what pydantic calls deprecated.
    pytest.mark.filterwarnings("ignore"),
]
#: Module -> number of tests in it.
SUITES = {"test_datastore": 11, "test_session": 3, "test_info": 1, "test_logs": 3, "test_activelearning": 2, "test_ohif": 1}


@pytest.fixture(scope="module")
def suites(server) -> ModuleType:
    """Their test package, with its client replaced by one that talks to our server."""
    found = importlib.util.find_spec("monailabel")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parents[1] / "tests" / "unit" / "endpoints"
    name = "monailabel_endpoint_tests"
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    context = importlib.import_module(f"{name}.context")
    from monailabel.config import settings

    settings.MONAI_LABEL_SESSION_PATH = str(server.home / "sessions")
    vars(context)["create_client"] = lambda *_, **__: httpx.Client(base_url=server.url, timeout=30)
    context.BasicEndpointTestSuite.studies = str(server.studies)
    return package


@pytest.mark.parametrize("module", SUITES)
def test_monai_labels_own_tests_pass(suites, module):
    tests = importlib.import_module(f"{suites.__name__}.{module}")
    if module == "test_datastore":
        # They wait for a file watcher after each step; there is none to wait for.
        vars(tests)["time"] = SimpleNamespace(sleep=lambda seconds: None)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(tests).run(result)
    problems = "\n".join(f"{test}: {text}" for test, text in [*result.failures, *result.errors])
    assert result.wasSuccessful(), problems
    assert result.testsRun == SUITES[module]
