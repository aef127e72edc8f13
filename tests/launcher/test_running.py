"""The JupyterLab that runs on a folder already: found by its note, and only if it answers."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from launcher import running


@pytest.fixture
def server():
    """A server that takes the token "mine", and nothing else; it gives its address."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self):
            lets_in = (self.path, self.headers["Authorization"]) == ("/api/status", "token mine")
            self.send_response(200 if lets_in else 403)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def leave(tmp_path, monkeypatch):
    """A function that leaves a note where Jupyter's servers do."""
    runtime = tmp_path / "rüntime"
    runtime.mkdir()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # it must not be asked
    return lambda name, text: (runtime / f"jpserver-{name}.json").write_text(text, encoding="utf-8")


def test_the_one_that_serves_the_folder_and_answers_is_found_among_the_notes(tmp_path, server, leave):
    (tmp_path / "work").mkdir()
    work = str(tmp_path / "work")
    assert running.look(sys.executable, work) is None
    leave("1", "{")  # half written
    leave("2", "[" * 100_000)
    leave("3", "{}")
    leave("4", json.dumps({"url": server, "token": "mine", "root_dir": str(tmp_path)}))  # serves another folder
    leave("5", json.dumps({"url": server, "token": "old", "root_dir": work}))  # another server has its port now
    leave("6", json.dumps({"url": "http://127.0.0.1:9/", "token": "mine", "root_dir": work}))  # it was killed
    leave("7", json.dumps({"url": server, "token": "mine", "root_dir": str(tmp_path / "gone")}))
    assert running.look(sys.executable, work) is None
    leave("8", json.dumps({"url": server, "token": "mine", "root_dir": work + "/."}))
    assert running.look(sys.executable, work)["root_dir"] == work + "/."
