"""Mininet test that waits for a line on standard input between two others."""

import sys


def pause(_net):
    print("macloom: pause", flush=True)
    sys.stdin.readline()


tests = {"pause": pause}
