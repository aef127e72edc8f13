"""A course of fake lessons in a temporary folder, for the tests of course.py."""

import json

import pytest


@pytest.fixture
def house(tmp_path):
    """A course of two lessons that nobody has opened yet, in a folder with a space and a letter beyond ASCII."""
    root = tmp_path / "my cöurse"
    (root / "lessons").mkdir(parents=True)
    for name in ("01_measure", "02_bits"):
        publish(root, name, "first version")
    return root


def publish(root, name, text):
    """Put a version of a lesson into the course, as an update does."""
    notebook = {
        "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / "lessons" / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
