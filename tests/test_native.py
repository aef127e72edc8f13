"""Compiling C: the answer of a compiled function, the messages, and that nothing is left behind."""

import ctypes
import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mini_lib import native

SUM = """
double sum(const double *x, long n) {
    double total = 0;
    for (long i = 0; i < n; i++) total += x[i];
    return total;
}
"""


def fake_compiler(path: Path, log: Path) -> Path:
    """A script that writes its arguments down and hands them to the real compiler."""
    first, *others = native.find_compiler().command
    real = shlex.join([shutil.which(first), *others])
    # a test empties PATH and fills PYTHONPATH, which must not reach the real one
    kept = "export PATH=/usr/bin:/bin PYTHONPATH=" + shlex.quote(os.environ.get("PYTHONPATH", ""))
    path.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{kept}\nexec {real} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def only_wish(monkeypatch, tmp_path, wish=None):
    """A machine without a compiler, but for the one that is wished for."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda name: None)
    if wish is None:
        monkeypatch.delenv("CC", raising=False)
    else:
        monkeypatch.setenv("CC", wish)


def test_a_compiled_function_is_called_with_an_array():
    x = np.arange(10, dtype=np.float64)
    function = native.load(SUM).sum
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_long], ctypes.c_double
    assert function(x.ctypes.data, len(x)) == 45


def test_the_same_source_and_flags_compile_once(monkeypatch):
    ran = []
    run = native._run
    monkeypatch.setattr(native, "_run", lambda *args, **kwargs: ran.append(args) or run(*args, **kwargs))
    source = "int only_here(void) { return 3; }\n"
    first = native.load(source)
    assert native.load(source) is first
    assert len(ran) == 1
    other = native.load(source, flags=("-O1",))
    assert other is not first and len(ran) == 2
    assert native.load(source.replace("3", "4")).only_here() == 4 and first.only_here() == 3


def test_a_flag_reaches_the_compiler():
    source = "int value(void) { return ANSWER; }\n"
    assert [native.load(source, flags=(f"-DANSWER={n}",)).value() for n in (1, 2)] == [1, 2]


def test_an_error_names_the_line_of_the_source():
    with pytest.raises(ValueError, match="does not compile this") as caught:
        native.load("int f(void) {\n  int x = 1;\n  return x + unknown_name;\n}\n")
    message = str(caught.value)
    assert "error" in message and "unknown_name" in message
    assert message.endswith("line 3 is: return x + unknown_name;")
    assert len(message.splitlines()) < 10


def test_a_function_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        native.build_program("int nowhere(void);\nint main(void) { return nowhere(); }\n", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_string_of_flags_is_refused():
    with pytest.raises(TypeError, match=r"flags must be a sequence of strings, got '-O3'; write \('-O3',\)"):
        native.load(SUM, flags="-O3")


def test_a_program_runs(tmp_path):
    source = '#include <stdio.h>\n#include <math.h>\nint main(int n, char **a) { printf("%g", sqrt(n + 7)); }\n'
    path = native.build_program(source, tmp_path, flags=("-O1",))
    assert path.parent == tmp_path
    assert subprocess.run([path, "one"], capture_output=True, text=True).stdout == "3"
    with pytest.raises(ValueError, match="folder must exist"):
        native.build_program(source, tmp_path / "absent")


def test_openmp_runs_threads_or_says_that_it_cannot(monkeypatch):
    source = SUM.replace("for (", "\n#pragma omp parallel for reduction(+:total)\nfor (")
    compiler = native.find_compiler()
    if compiler.openmp:
        function = native.load(source, openmp=True).sum
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_long], ctypes.c_double
        x = np.ones(1000)
        assert function(x.ctypes.data, len(x)) == 1000
    without = native.Compiler(compiler.command, compiler.version, openmp=False)
    monkeypatch.setattr(native, "find_compiler", lambda: without)
    with pytest.raises(native.NoCompiler, match="has no OpenMP here; install gcc"):
        native.load(source, openmp=True)


def test_cc_is_honoured_with_its_arguments(monkeypatch, tmp_path):
    fake = fake_compiler(tmp_path / "mycc", tmp_path / "log")
    monkeypatch.setenv("CC", f"{fake} -DANSWER=42")
    assert native.find_compiler().command == (str(fake), "-DANSWER=42")
    assert native.load("int value(void) { return ANSWER; }").value() == 42
    assert "-DANSWER=42" in (tmp_path / "log").read_text()


def test_a_cc_that_does_not_work_is_not_passed_over(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(native.NoCompiler, match=r"no-such-compiler.*set \$CC to one that works, or unset it"):
        native.find_compiler()


def test_without_a_compiler_the_message_says_how_to_get_one(monkeypatch, tmp_path):
    only_wish(monkeypatch, tmp_path)
    for ask in (native.find_compiler, native.native_flags, lambda: native.load(SUM + "\n")):
        with pytest.raises(native.NoCompiler, match="install gcc or clang, or `pip install ziglang`"):
            ask()


def test_a_compiler_that_does_not_compile_is_passed_over(monkeypatch, tmp_path):
    """cc is there and broken, gcc works: gcc it is."""
    fake_compiler(tmp_path / "gcc", tmp_path / "log")
    (tmp_path / "cc").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert native.find_compiler().command == ("gcc",)


def test_ziglang_is_the_last_resort(monkeypatch, tmp_path):
    """A package of that name that calls the real compiler."""
    fake = fake_compiler(tmp_path / "real", tmp_path / "log")
    package = tmp_path / "packages" / "ziglang"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import subprocess, sys\nassert sys.argv[1] == 'cc'\n"
        f"sys.exit(subprocess.run(['/bin/sh', '{fake}', *sys.argv[2:]]).returncode)\n"
    )
    only_wish(monkeypatch, tmp_path)
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda name: name if name == "ziglang" else None)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    # another PATH than that of the other tests, since answers are kept by PATH
    monkeypatch.setenv("PATH", str(tmp_path / "also_empty"))
    compiler = native.find_compiler()
    assert compiler.command[:4] == (sys.executable, "-m", "ziglang", "cc")
    assert native.load("int value(void) { return 5; }").value() == 5


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed")
def test_the_real_ziglang_compiles(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc -fno-sanitize=undefined")
    assert native.load("int value(void) { return 6; }").value() == 6


def test_flags_are_known_or_not():
    assert native.has_flag("-O3") and native.has_flag("-Wall")
    assert not native.has_flag("-fno-such-flag-at-all") and not native.has_flag("-march=no-such-machine")


def test_a_flag_that_is_ignored_with_a_warning_is_not_known(monkeypatch, tmp_path):
    """As clang does it: a flag of gcc's is a warning, and with -Werror an error."""
    fake = fake_compiler(tmp_path / "warns", tmp_path / "log")
    fake.write_text(fake.read_text().replace("#!/bin/sh\n", '#!/bin/sh\ncase "$*" in *-Werror*) exit 1;; esac\n'))
    monkeypatch.setenv("CC", str(fake))
    assert native.load("int value(void) { return 7; }").value() == 7
    assert not native.has_flag("-fno-tree-vectorize")


def test_native_flags_give_code_that_runs_here():
    flags = native.native_flags()
    assert flags[0] == "-O3"
    function = native.load(SUM, flags=flags).sum
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_long], ctypes.c_double
    x = np.ones(1001)
    assert function(x.ctypes.data, len(x)) == 1001


def test_the_folder_goes_with_the_process():
    program = (
        "import mini_lib.native as n; n.load('int f(void) { return 1; }');"
        "print(n._folder()); print(len(list(n._folder().iterdir())))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder, files = done.stdout.split()
    assert files == "1" and not Path(folder).exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_its_own_folder_and_leaves_its_parents():
    program = """
import os, sys, mini_lib.native as n
n.load("int f(void) { return 1; }")
mine = n._folder()
if os.fork() == 0:
    assert n._folder() != mine
    assert n.load("int f(void) { return 2; }").f() == 2
    print(n._folder())
    sys.exit()
assert os.wait()[1] == 0
assert mine.is_dir()
assert n.load("int f(void) { return 3; }").f() == 3
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).exists()


def test_it_needs_no_torch():
    program = "import sys, mini_lib.native; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
