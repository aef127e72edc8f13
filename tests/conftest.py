"""What every test shares."""

import pytest
from course_support import publish
from hypothesis import HealthCheck, settings

# A busy machine is not a failure: no property has a deadline.
settings.register_profile("course", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")


@pytest.fixture
def house(tmp_path):
    """A course of two lessons that nobody has opened yet, in a folder with a space and a letter beyond ASCII."""
    root = tmp_path / "my cöurse"
    (root / "lessons").mkdir(parents=True)
    for name in ("01_measure", "02_bits"):
        publish(root, name, "first version")
    return root


@pytest.fixture(scope="module")
def one_thread():
    """One thread for all tests of a file, as `course.py test` has it.

    Sums are rounded by how they are shared among threads, and a process that a test starts has one of them. And where
    tests run side by side, threads wait for cores that others hold: a tiny net then takes twenty times as long.
    """
    import torch  # not for the tests that need none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
