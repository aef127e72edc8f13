"""What the tests of studies share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def studies_have_one_thread(one_thread):
    """As every tool that makes a record has it."""
