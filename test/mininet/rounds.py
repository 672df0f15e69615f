"""Mininet test that waits for a line on standard input between two others."""

import socket
import sys

from mininet.node import RemoteController


def is_listening(_self, ip, port):
    """Stands in for a check by telnet in the controller's pseudo-terminal.

    About once in a hundred runs telnet flushes that terminal when it ends, and
    with it the shell prompt that Mininet waits for, for ever.
    """
    try:
        socket.create_connection((ip, port), 5).close()
    except OSError:
        return False
    return True


RemoteController.isListening = is_listening


def pause(_net):
    print("macloom: pause", flush=True)
    sys.stdin.readline()


tests = {"pause": pause}
