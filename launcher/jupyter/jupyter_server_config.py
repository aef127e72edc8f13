"""What JupyterLab's server does differently in this course: what a kernel says goes out at once.

TCP holds small messages back until the one before is acknowledged, up to 40 ms. A figure that is dragged shows it.
"""

from pathlib import Path

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """A kernel's websocket that sends small messages at once."""

    def connect(self):
        """Open it, and let nothing wait."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


c = get_config()  # Jupyter provides it where it reads this file
c.ServerApp.kernel_websocket_connection_class = PromptConnection
c.ServerApp.tornado_settings = {
    "static_custom_path": [str(Path(__file__).parent / "custom")]
}  # JupyterLab's custom.css
