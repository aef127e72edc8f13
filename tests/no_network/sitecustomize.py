"""A Python that starts with this folder on its PYTHONPATH reaches no machine but its own.

The notebook tests start their kernels so. A kernel talks to its front end over 127.0.0.1, so loopback stays open.
An audit hook cannot be taken off again, and the Python processes that a notebook starts inherit PYTHONPATH.
"""

import ipaddress
import sys

ADDRESS_IS_ARGUMENT = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}


def is_own_machine(address):
    """Whether a socket address, or a host, stays on this machine: loopback, a Unix socket, or nobody at all."""
    if isinstance(address, tuple):
        address = address[0]
    elif isinstance(address, (str, bytes)) and address[:1] in ("/", b"/", b"\0", "\0"):
        return True  # a Unix socket is a path
    if isinstance(address, (bytes, bytearray)):
        address = address.decode("ascii", "replace")
    if not isinstance(address, str) or address in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(event, arguments):
    """Raise OSError, as an unplugged network does, where a call would leave the machine."""
    if event in ADDRESS_IS_ARGUMENT and not is_own_machine(arguments[ADDRESS_IS_ARGUMENT[event]]):
        raise OSError(f"no network in the tests: {event} to {arguments[ADDRESS_IS_ARGUMENT[event]]!r}")


sys.addaudithook(refuse)
