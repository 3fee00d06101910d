"""Fixtures: a fleet that is ended with its test, and its logs shown when the test failed."""

import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from calm import calm  # noqa: E402, F401
from fleet import Fleet  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "failed", outcome.get_result().failed)


@pytest.fixture
def folder():
    # Unix socket paths are short, so the folder is too.
    path = pathlib.Path(tempfile.mkdtemp(prefix="vlmq-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def fleet(folder, request):
    fleet = Fleet(folder)
    try:
        yield fleet
    finally:
        if getattr(request.node, "failed", False):
            print(fleet.logs())
        fleet.stop()
