"""What measurements found is told at the end of a session, also where workers ran the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

_KEY = "told"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line, such as an error rate, that the session's summary shows."""
    return lambda line: request.node.user_properties.append((_KEY, line))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [value for r in reports if r.when == "call" for key, value in r.user_properties
             if key == _KEY]  # fmt: skip
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)
