"""What JupyterLab's server does differently in this course: links lead to the library, outputs are styled."""

import os
from pathlib import Path

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.web import HTTPError

COURSE = Path(__file__).resolve().parents[2]
SHOWN = ("mini_lib", "slides", "studies", "teach", "tools")  # folders of the course that a lesson may link to


class PromptConnection(ZMQChannelsWebsocketConnection):
    """A kernel's websocket that sends small messages at once.

    TCP holds them back until the one before is acknowledged, up to 40 ms. A figure that is dragged shows it.
    """

    def connect(self):
        """Open it, and let nothing wait."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


class CopiesAndLibrary(AsyncLargeFileManager):
    """The learner's folder, and the course's own files where a lesson links to them, to be read but not written.

    JupyterLab takes a link from work/ to `../mini_lib/costs.py` for `mini_lib/costs.py` below the folder it serves.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.library = AsyncLargeFileManager(root_dir=str(COURSE))

    def shown(self, path):
        """Whether a path is the course's, and not the learner's."""
        folder, *rest = path.strip("/").split("/")
        mine = os.path.exists(os.path.join(self.root_dir, folder))
        return folder in SHOWN and ".." not in rest and not mine

    async def get(self, path, *details, **more_details):
        """The content of a file or folder."""
        if not self.shown(path):
            return await super().get(path, *details, **more_details)
        return {**await self.library.get(path, *details, **more_details), "writable": False}

    async def file_exists(self, path):
        """Whether there is such a file."""
        return await (self.library if self.shown(path) else super()).file_exists(path)

    async def dir_exists(self, path):
        """Whether there is such a folder."""
        return await (self.library if self.shown(path) else super()).dir_exists(path)

    async def is_hidden(self, path):
        """Whether a file is not to be seen."""
        return await (self.library if self.shown(path) else super()).is_hidden(path)

    def need_own(self, path):
        """Refuse to change a file of the course."""
        if self.shown(path):
            raise HTTPError(403, f"{path} belongs to the course: copy it into your folder, and change the copy")

    async def save(self, model, path=""):
        """Save a file of the learner's.

        To open a notebook changes what it notes of its kernel, and it would be saved for that: it must not count as
        changed by the learner, or an update of the course could not refresh it.
        """
        self.need_own(path)
        if model.get("type") == "notebook" and await self.has_already(model.get("content"), path):
            return await self.get(path, content=False)
        return await super().save(model, path)

    async def has_already(self, notebook, path):
        """Whether the file has these cells and this kernel."""
        try:
            return essence((await self.get(path, type="notebook"))["content"]) == essence(notebook)
        except (HTTPError, LookupError, TypeError, AttributeError):  # no file yet, or no notebook
            return False

    async def delete_file(self, path):
        """Delete a file of the learner's."""
        self.need_own(path)
        return await super().delete_file(path)

    async def rename_file(self, old_path, new_path):
        """Rename a file of the learner's."""
        self.need_own(old_path)
        self.need_own(new_path)
        return await super().rename_file(old_path, new_path)

    async def list_checkpoints(self, path):
        """The saved states of a file: none of one that does not change."""
        return [] if self.shown(path) else await super().list_checkpoints(path)

    async def create_checkpoint(self, path):
        """Keep the state of a file of the learner's."""
        self.need_own(path)
        return await super().create_checkpoint(path)


def essence(notebook):
    """What a notebook holds: its cells and the name of its kernel."""
    cells = [{**cell, "metadata": {**cell["metadata"], "trusted": None}} for cell in notebook["cells"]]
    return cells, notebook["metadata"]["kernelspec"]["name"]


c = get_config()  # Jupyter provides it where it reads this file
c.ServerApp.kernel_websocket_connection_class = PromptConnection
c.ServerApp.contents_manager_class = CopiesAndLibrary
# custom/custom.css, which JupyterLab otherwise looks for in the folder of the user's own settings
c.ServerApp.tornado_settings = {"static_custom_path": [str(Path(__file__).parent / "custom")]}
