"""course.py, the one program of the course: what each command starts, and how it behaves in a process of its own."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launcher import environment, lock
from launcher import program as course

ROOT = Path(__file__).resolve().parent.parent

LOOK = "a look at the model"


@pytest.fixture
def started(house, monkeypatch):
    """course.py in a fake house, with a list of the programs it would start, each with its environment variables."""
    started = []
    monkeypatch.setattr(course, "ROOT", house)
    monkeypatch.setattr(course, "WORK", house / "work")
    monkeypatch.setattr(course, "COURSE_HOME", house / "work" / ".course")
    monkeypatch.setattr(
        environment,
        "prepare",
        lambda root, extras=(), look_at_model=False: Path("python-with", *extras, *[LOOK] * look_at_model),
    )
    monkeypatch.setenv("CC", "a-compiler")  # or a machine without one would ask for it
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(house / "no headers"))
    monkeypatch.setattr(course.running, "look", lambda python, folder: None)
    monkeypatch.setattr(
        course,
        "run",
        lambda command, cwd=None, **variables: started.append(([str(part) for part in command], variables)) or 0,
    )
    return started


class TestCommands:
    def test_lab_opens_the_learners_copy_of_the_first_lesson_and_hands_options_on(self, house, started):
        assert course.main(["lab", "--no-browser", "--port=8890"]) == 0
        [(command, variables)] = started
        assert command[:3] == ["python-with", "-m", "jupyterlab"] and command[-2:] == ["--no-browser", "--port=8890"]
        assert f"--ServerApp.root_dir={house / 'work'}" in command
        assert "--LabApp.default_url=/lab/tree/01_measure.ipynb" in command
        assert (house / "work" / "01_measure.ipynb").exists()
        assert variables["COURSE_HOME"] == str(house / "work" / ".course")
        settings = Path(variables["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
        assert settings == house / "launcher" / "jupyter"

    def test_news_are_opened_once_and_then_the_lesson_that_is_there(self, house, started):
        course.main(["lab"])
        (house / "work" / "01_measure.ipynb").unlink()
        for page in ("NEWS.md", "02_bits.ipynb"):
            course.main(["lab"])
            assert f"--LabApp.default_url=/lab/tree/{page}" in started[-1][0]
        assert "you deleted your copy" in (house / "work" / "NEWS.md").read_text(encoding="utf-8")

    def test_lab_opens_the_lesson_that_the_learner_changed_last(self, house, started):
        course.main(["lab"])
        for second, name in enumerate(("02_bits", "01_measure", "02_bits")):
            path = house / "work" / f"{name}.ipynb"
            path.write_text(f"my answers {second}", encoding="utf-8")
            os.utime(path, (second, second))  # long before the untouched copies were given
            course.main(["lab"])
            assert f"--LabApp.default_url=/lab/tree/{name}.ipynb" in started[-1][0]

    @pytest.mark.parametrize("orphan", [True, False])
    @pytest.mark.parametrize("options", [[], ["--no-browser"], ["--port=8890"]])
    def test_where_one_runs_already_lab_names_it_and_starts_none(
        self, house, started, monkeypatch, capsys, orphan, options
    ):
        opened = []
        note = {"url": "http://localhost:8888/base/", "token": "abc"}
        monkeypatch.setattr(course.running, "look", lambda python, folder: note)
        monkeypatch.setattr(course.running.webbrowser, "open", opened.append)
        (house / "work" / ".course").mkdir(parents=True)
        (house / "work" / "02_bits.ipynb").touch()
        with (house / "work" / ".course" / "lab.lock").open("a+b") as other:
            assert orphan or lock.take(other)  # another course.py, as far as locks can tell
            assert course.main(["lab", *options]) == 0
        address = "http://localhost:8888/base/lab/tree/02_bits.ipynb?token=abc"
        said = capsys.readouterr().out
        assert address in said and "choose File > Shut Down in JupyterLab" in said
        assert ("not from a terminal of course.py" in said) == orphan
        assert opened == ([] if options == ["--no-browser"] else [address]) and started == []

    def test_a_lab_that_is_being_started_is_waited_for_and_one_that_never_answers_is_a_sentence(
        self, house, started, monkeypatch, capsys
    ):
        monkeypatch.setattr(course.running.time, "sleep", lambda seconds: None)
        (house / "work" / ".course").mkdir(parents=True)
        with (house / "work" / ".course" / "lab.lock").open("a+b") as other:
            assert lock.take(other)
            assert course.main(["lab"]) == 1
            assert "another `course.py lab` runs on" in capsys.readouterr().err
            notes = iter([None, None, {"url": "http://localhost:8888/", "token": "abc"}])
            monkeypatch.setattr(course.running, "look", lambda python, folder: next(notes))
            assert course.main(["lab", "--no-browser"]) == 0
        assert "http://localhost:8888/lab?token=abc" in capsys.readouterr().out and started == []

    def test_a_machine_without_a_c_compiler_gets_one(self, started, monkeypatch):
        monkeypatch.delenv("CC")
        monkeypatch.setattr(environment.shutil, "which", lambda name: None)
        for words in (["lab"], ["test"]):
            assert course.main(words) == 0
        assert [command[0] for command, _ in started] == [
            str(Path("python-with", *extras)) for extras in (["compiler"], ["test", "compiler", LOOK])
        ]

    def test_what_is_compiled_when_installed_is_asked_for_only_where_that_works(self, house, started):
        (house / "no headers").mkdir()
        (house / "no headers" / "Python.h").touch()
        assert course.main(["test"]) == 0
        assert started[-1][0][0] == str(Path("python-with", "test", "sources", LOOK))

    def test_test_installs_the_test_group_and_hands_options_on(self, started):
        assert course.main(["test", "-k", "measure", "-x"]) == 0
        [(command, variables)] = started
        assert command[:3] == [str(Path("python-with", "test", LOOK)), "-m", "pytest"] and command[-3:] == [
            "-k",
            "measure",
            "-x",
        ]
        assert variables == {"OMP_NUM_THREADS": "1"}

    @pytest.mark.parametrize("there", [True, False])
    def test_model_brings_the_language_model_and_says_whether_it_is_there(self, started, monkeypatch, capsys, there):
        asked = []
        monkeypatch.setattr(environment, "prepare", lambda root, **options: asked.append(options))
        monkeypatch.setattr(environment, "read_stamp", lambda environment: {"model": there})
        assert course.main(["model"]) == (0 if there else 1)
        assert asked == [{"look_at_model": True}] and started == []
        assert ("is there, and its hash is right" in capsys.readouterr().out) == there

    def test_grade_build_and_slides_start_their_programs(self, house, started):
        for words in (["grade", "class 1", "--out", "x"], ["build", "--check"], ["slides", "--check"]):
            assert course.main(words) == 0
        assert [command[1:] for command, _ in started] == [
            ["-m", "teach.grade", "class 1", "--out", "x"],
            ["-m", "teach.build", "--check"],
            [str(house / "slides" / "figures.py"), "--check"],
            [str(house / "slides" / "build.py"), "--check"],
        ]

    @pytest.mark.parametrize(
        "words, message",
        [
            (["frob"], "there is no command 'frob'; use one of lab, test, model, reset, grade, build, slides"),
            (["reset"], "reset takes the number of one lesson, for example: python3 course.py reset 02"),
            (["reset", "7"], "there is no lesson '7'; the lessons are 01_measure, 02_bits."),
            (["grade"], "grade takes the folder of submitted notebooks"),
        ],
    )
    def test_a_mistake_on_the_command_line_gets_a_sentence(self, started, capsys, words, message):
        assert course.main(words) != 0
        assert message in capsys.readouterr().err
        assert started == []

    def test_ctrl_c_during_the_set_up_ends_in_a_sentence(self, started, monkeypatch, capsys):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(environment, "prepare", interrupted)
        assert course.main(["lab"]) == 130
        assert "stopped. Run the same command again to continue from here." in capsys.readouterr().err

    def test_run_returns_the_exit_status(self):
        assert self.run_in_a_process("import os, sys; sys.exit(int(os.environ['STATUS']))").returncode == 7

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send")
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_run_leaves_ctrl_c_and_a_polite_kill_to_the_program(self, name):
        # The program sends course.py the signal, and ends in its own way: after a moment, or at the signal handed on.
        program = (
            "import os, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); "
            f"os.kill(os.getppid(), signal.{name}); time.sleep(0.5 if '{name}' == 'SIGINT' else 30); sys.exit(7)"
        )
        done = self.run_in_a_process(program)
        assert (done.returncode, done.stderr) == (7, "")

    def run_in_a_process(self, program):
        """course.run in a Python of its own, where a signal can do no harm."""
        start = "import sys; from launcher.program import run; "
        start += "sys.exit(run([sys.executable, '-c', sys.argv[1]], STATUS='7'))"
        return subprocess.run(
            [sys.executable, "-c", start, program], cwd=ROOT, capture_output=True, text=True, timeout=60
        )


class TestCommandLine:
    """The real program, in a process of its own, from a folder with a space and a letter beyond ASCII."""

    @pytest.fixture
    def course_in(self, house):
        for part in ("course.py", "pyproject.toml"):
            shutil.copy(ROOT / part, house)
        shutil.copytree(ROOT / "launcher", house / "launcher", ignore=shutil.ignore_patterns("__pycache__"))

        def start(*words, encoding="utf-8"):
            variables = {**os.environ, "PYTHONIOENCODING": encoding}
            return subprocess.run(
                [sys.executable, str(house / "course.py"), *words],
                capture_output=True,
                text=True,
                encoding=encoding,
                env=variables,
                timeout=60,
            )

        return start

    def test_reset_needs_no_environment_and_works_on_a_console_without_the_letters(self, house, course_in):
        done = course_in("reset", "01", encoding="ascii")
        assert done.returncode == 0, done.stderr
        assert "A fresh copy is at" in done.stdout and "my c?urse" in done.stdout
        assert (house / "work" / "01_measure.ipynb").exists()

    def test_help_names_every_command(self, course_in):
        for words in ((), ("-h",), ("lab", "--help")):
            done = course_in(*words)
            assert done.returncode == 0
            assert set(re.findall(r"^  python3 course\.py (\w+)", done.stdout, re.M)) == set(course.COMMANDS)
            assert max(map(len, done.stdout.splitlines())) <= 120

    @pytest.mark.parametrize("words", [("reset", "01"), ("lab",)])
    def test_a_file_where_the_work_folder_should_be_is_a_sentence(self, house, course_in, words):
        (house / "work").write_text("in the way")
        done = course_in(*words)
        assert done.returncode == 1 and done.stdout == ""
        assert (
            f"course.py: {house / 'work'} is a file, but a folder of that name is needed: move or rename the file"
            in done.stderr
        )
        assert (house / "work").read_text() == "in the way"

    @pytest.mark.skipif(os.name == "nt" or shutil.which("head") is None, reason="it is a shell's pipe")
    def test_a_reader_that_has_read_enough_hears_no_complaint(self, house, course_in):
        command = f"{sys.executable} '{house / 'course.py'}' -h | head -n 1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
    def test_an_output_that_cannot_be_written_gets_a_sentence(self, house, course_in):
        command = [sys.executable, house / "course.py", "-h"]
        with open("/dev/full", "w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.strip() == "course.py: the output cannot be written (No space left on device)"

    @pytest.mark.skipif(os.name == "nt", reason="it is a shell's redirection")
    def test_a_closed_output_is_no_reason_to_fail(self, house, course_in):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} '{house / 'course.py'}' reset 01 >&-"], capture_output=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b"") and (house / "work" / "01_measure.ipynb").exists()


class TestOlderPythons:
    def test_course_py_asks_for_the_python_of_pyproject(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        asked = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (ROOT / "course.py").read_text(encoding="utf-8"))
        assert project["requires-python"].startswith(">={}.{},".format(*asked.groups()))

    def test_an_older_python_reads_a_sentence(self):
        """What course.py does first is to look at the version."""
        source = (ROOT / "course.py").read_text(encoding="utf-8")
        module = ast.parse(source)
        first = "".join(ast.get_source_segment(source, node) + "\n" for node in module.body[:3])
        for version, name in (("(3, 9, 18)", "3.9"), ("(2, 7, 18)", "2.7")):
            old = first.replace("sys.version_info", version)
            assert old != first
            with pytest.raises(
                SystemExit, match=f"course.py needs Python 3.11 or newer, but this is Python {name}: install"
            ):
                exec(old, {})

    def test_python_2_can_read_course_py(self):
        """It holds ASCII, and no statement or expression that Python 2.7 lacks or means otherwise."""
        source = (ROOT / "course.py").read_bytes().decode("ascii")
        known = (
            *(ast.Module, ast.Expr, ast.Constant, ast.Import, ast.ImportFrom, ast.alias, ast.If, ast.Compare, ast.Lt),
            *(ast.Tuple, ast.Call, ast.Attribute, ast.Name, ast.BinOp, ast.Mod, ast.Subscript, ast.Slice),
            *(ast.Eq, ast.Load),
        )
        assert [node for node in ast.walk(ast.parse(source)) if not isinstance(node, known)] == []

    def test_the_launcher_imports_the_standard_library_only(self):
        for path in (ROOT / "course.py", *(ROOT / "launcher").glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "launcher"}, path.name


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "python" in line] == ["exec python3 course.py test"] == lines[-1:]
