"""A real JupyterLab in a real browser, closed off from everything: what the browser test stands on."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from teach.build.execute import switches

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
NO_NETWORK = Path(__file__).parent / "no_network"
LAB_SETTINGS = Path(__file__).parents[1] / "launcher" / "jupyter"  # those that `course.py lab` starts with


def find_chromium() -> str:
    """The path of a Chromium, or a skip that says how to get one; in CI, where it is always installed, a failure."""
    from playwright.sync_api import sync_playwright

    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    reason = "no Chromium found; install one with 'python -m playwright install chromium', or your system's package"
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab that serves one folder: its address, and the token that lets one in."""

    url: str
    token: str


@contextmanager
def jupyterlab(served: Path, private: Path) -> Iterator[Lab]:
    """JupyterLab on this machine's own address, serving `served`, with every setting and log under `private`."""
    lab = Lab(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16))
    folders = {
        f"JUPYTER{name}": str(private / name.strip("_").lower())
        for name in ("_CONFIG_DIR", "_DATA_DIR", "_RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    }
    folders["JUPYTER_CONFIG_PATH"] = str(LAB_SETTINGS)
    paths = os.pathsep.join(filter(None, [str(NO_NETWORK), os.environ.get("PYTHONPATH")]))
    environment = os.environ | folders | switches(private, strict=False, static=False) | {"PYTHONPATH": paths}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={lab.url.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={lab.token}",
        f"--ServerApp.root_dir={served}",
        "--LabApp.expose_app_in_browser=True",
    ]
    with open(private / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_it_answers(lab, server, private / "server.log")
        yield lab
    finally:
        _stop(server)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def _wait_until_it_answers(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def _stop(server: subprocess.Popen) -> None:
    """Ask the server to end, which ends its kernels; make sure that nothing of its group is left."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


@dataclass
class Watched:
    """What a page asked for and what it complained of."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def leaving(self, url: str) -> list[str]:
        """The requests that went elsewhere than to the server at `url`."""
        own = (url + "/", url.replace("http", "ws", 1) + "/", "data:", "blob:")
        return [request for request in self.requests if not request.startswith(own)]


@contextmanager
def browser_page(chromium: str, width: int = 1280, height: int = 900):
    """A page of a fresh browser, and what is `Watched` of it."""
    from playwright.sync_api import sync_playwright

    watched = Watched()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height})
        page.on("request", lambda request: watched.requests.append(request.url))
        page.on("websocket", lambda websocket: watched.requests.append(websocket.url))
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and watched.complaints.append(message.text))
        try:
            yield page, watched
        finally:
            browser.close()


# Waiting for the idle icon is not enough: Run All then silently runs nothing.
WHEN_READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  while (!app.shell.currentWidget?.sessionContext) await new Promise(done => setTimeout(done, 50));
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session.kernel;
  await kernel.info;
  while (kernel.connectionStatus !== 'connected' || kernel.status !== 'idle')
    await new Promise(done => setTimeout(done, 50));
}"""
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => ({
  id: cell.model.id, type: cell.model.type, count: cell.model.executionCount ?? null,
  outputs: cell.model.outputs?.toJSON() ?? [],
}))"""
SELECT = """async id => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  const index = notebook.widgets.findIndex(cell => cell.model.id === id);
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  await notebook.scrollToItem(index, 'start');
  notebook.widgets[index].node.dataset.under = 'test';
}"""


class NotebookPage:
    """A notebook that is open in JupyterLab, as its reader sees and uses it."""

    def __init__(self, page, lab: Lab, name: str) -> None:
        self.page = page
        page.set_default_timeout(60_000)
        page.goto(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}")  # no tabs of an earlier page
        page.wait_for_function("() => window.jupyterapp !== undefined")
        page.evaluate(WHEN_READY)

    def command(self, name: str) -> None:
        """Run a command of JupyterLab to its end."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def cells(self) -> list[dict]:
        """The cells: id, type, execution count and outputs."""
        return self.page.evaluate(CELLS)

    def select(self, cell_id: str):
        """Scroll to a cell and select it; returns where it is on the page."""
        self.page.evaluate("document.querySelectorAll('[data-under]').forEach(node => delete node.dataset.under)")
        self.page.evaluate(SELECT, cell_id)
        return self.page.locator("[data-under=test]")

    def write(self, cell_id: str, text: str) -> None:
        """Replace the text of a cell from the keyboard, as a reader does."""
        self.select(cell_id).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)

    def run(self, cell_id: str) -> str:
        """Run a cell; returns what stands under it."""
        cell = self.select(cell_id)
        self.command("notebook:run-cell")
        return cell.locator(".jp-OutputArea").inner_text()
