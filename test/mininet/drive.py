"""Topologies with loops, and a Mininet test that carries out commands.

A command is a line on standard input. Its answer is a line of JSON after "macloom: ".
"""

import ctypes
import json
import os
import select
import socket
import struct
import sys
import threading
import time

from mininet.node import RemoteController
from mininet.topo import Topo


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


class Ring(Topo):
    """n switches in a ring, each with a host."""

    def build(self, n=4):
        switches = [self.addSwitch("s%d" % (i + 1)) for i in range(n)]
        for i, switch in enumerate(switches):
            self.addLink(self.addHost("h%d" % (i + 1)), switch)
            self.addLink(switch, switches[(i + 1) % n])


class FatTree(Topo):
    """The three stages of switches with k ports each, k/2 hosts at each of the lowest."""

    def build(self, k=4):
        half, made = k // 2, []

        def switch():
            made.append(self.addSwitch("s%d" % (len(made) + 1)))
            return made[-1]

        cores, hosts = [switch() for _ in range(half * half)], 0
        for _ in range(k):
            above, below = [switch() for _ in range(half)], [switch() for _ in range(half)]
            for i, upper in enumerate(above):
                for core in cores[i * half : (i + 1) * half]:
                    self.addLink(core, upper)
                for lower in below:
                    self.addLink(upper, lower)
            for lower in below:
                for _ in range(half):
                    hosts += 1
                    self.addLink(self.addHost("h%d" % hosts), lower)


LIBC = ctypes.CDLL(None, use_errno=True)


def socket_at(host, *kind):
    """Opens a socket in the network namespace of a host."""
    with open("/proc/self/ns/net") as home, open("/proc/%d/ns/net" % host.pid) as there:
        if LIBC.setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return socket.socket(*kind)
        finally:
            if LIBC.setns(home.fileno(), 0) != 0:
                os._exit(1)  # nothing after this would be where it belongs


EXPERIMENT = 0x88B5  # IEEE 802 local experimental EtherType 1
FRAME = struct.Struct("!6s6sHHB45x")
PATIENCE = 10  # seconds


def broadcast(net):
    """Has each host send a frame for everybody, and counts who sees it how often.

    A second frame of each comes after the first one, so when that has come no
    other copy of the first is under way in a network that has no loops.
    """
    hosts, seen, ended = net.hosts, {}, set()
    sockets = []
    for host in hosts:
        at = socket_at(host, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EXPERIMENT))
        at.bind((host.defaultIntf().name, EXPERIMENT))
        sockets.append(at)
    for last in 0, 1:
        for i, at in enumerate(sockets):
            mac = bytes.fromhex(hosts[i].defaultIntf().MAC().replace(":", ""))
            at.send(FRAME.pack(b"\xff" * 6, mac, EXPERIMENT, i, last))
    pairs = len(hosts) * (len(hosts) - 1)
    until, late = time.monotonic() + PATIENCE, 0.2
    while time.monotonic() < until:
        ready, _, _ = select.select(sockets, [], [], 0.1)
        for at in ready:
            frame, sender = at.recvfrom(2048)
            if sender[2] == socket.PACKET_OUTGOING or len(frame) < FRAME.size:
                continue
            _, _, _, i, last = FRAME.unpack_from(frame)
            pair = (i, sockets.index(at))
            if last:
                ended.add(pair)
            else:
                seen[pair] = seen.get(pair, 0) + 1
        if len(ended) == pairs:
            until, ended = min(until, time.monotonic() + late), set()
    for at in sockets:
        at.close()
    wrong = []
    for i, sender in enumerate(hosts):
        for j, receiver in enumerate(hosts):
            if i != j and seen.get((i, j), 0) != 1:
                wrong.append("%s saw a frame of %s %d times" % (receiver, sender, seen.get((i, j), 0)))
    return {"pairs": pairs, "wrong": wrong}


class Watch:
    """Echo requests between all pairs of hosts, ten in a second, until it is stopped."""

    EVERY = 0.1
    ECHO = struct.Struct("!BBHHHHHI")

    def __init__(self, hosts):
        self.hosts, self.rounds, self.answered = hosts, 0, set()
        self.sockets = [socket_at(h, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) for h in hosts]
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.send, self.receive)]
        for t in self.threads:
            t.start()

    def request(self, i, j):
        words = struct.unpack("!7H", struct.pack("!HHHHHI", 0x0800, self.IDENT, 0, i, j, self.rounds))
        total = sum(words)
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        return self.ECHO.pack(8, 0, total, self.IDENT, 0, i, j, self.rounds)

    IDENT = 0x6D61

    def send(self):
        while not self.ending.wait(self.EVERY):
            for i, at in enumerate(self.sockets):
                for j in range(i + 1, len(self.hosts)):
                    try:
                        at.sendto(self.request(i, j), (self.hosts[j].IP(), 0))
                    except OSError:
                        pass  # it has no answer, either
            self.rounds += 1

    def receive(self):
        until, pairs = None, len(self.hosts) * (len(self.hosts) - 1) // 2
        while until is None or time.monotonic() < until and len(self.answered) < self.rounds * pairs:
            if until is None and self.ending.is_set():
                until = time.monotonic() + 1  # what is due still comes
            ready, _, _ = select.select(self.sockets, [], [], 0.1)
            for at in ready:
                packet = at.recv(2048)
                answer = packet[(packet[0] & 15) * 4 :]
                if len(answer) < self.ECHO.size:
                    continue
                kind, _, _, ident, _, i, j, n = self.ECHO.unpack_from(answer)
                if kind == 0 and ident == self.IDENT:
                    self.answered.add((i, j, n))

    def stop(self):
        self.ending.set()
        for t in self.threads:
            t.join()
        for at in self.sockets:
            at.close()
        lost, longest, worst = 0, 0, ""
        for i, a in enumerate(self.hosts):
            for j in range(i + 1, len(self.hosts)):
                run = 0
                for n in range(self.rounds):
                    run = 0 if (i, j, n) in self.answered else run + 1
                    lost += run > 0
                    if run > longest:
                        longest, worst = run, "%s and %s" % (a, self.hosts[j])
        pairs = len(self.hosts) * (len(self.hosts) - 1) // 2
        return {"rounds": self.rounds, "sent": self.rounds * pairs, "lost": lost, "longest": longest, "pair": worst}


def links(net):
    """Pairs of switches that are linked."""
    switches = set(net.switches)
    return [[l.intf1.node.name, l.intf2.node.name] for l in net.links if {l.intf1.node, l.intf2.node} <= switches]


def join(net, a, b):
    """Plugs in a link between two switches."""
    link = net.addLink(a, b)
    link.intf1.node.attach(link.intf1)
    link.intf2.node.attach(link.intf2)


def drive(net):
    """Carries out commands until there are no more."""
    watch = None

    def answer(value):
        print("macloom: " + json.dumps(value), flush=True)

    answer("ready")
    for line in iter(sys.stdin.readline, ""):
        name, *args = line.split()
        result = None
        if name == "pingall":
            net.pingAll()
        elif name == "broadcast":
            result = broadcast(net)
        elif name == "watch":
            watch = Watch(net.hosts)
        elif name == "rounds":
            result = watch.rounds
        elif name == "unwatch":
            result = watch.stop()
        elif name == "links":
            result = links(net)
        elif name in ("up", "down"):
            net.configLinkStatus(args[0], args[1], name)
        elif name == "join":
            join(net, *args)
        else:
            raise ValueError(line)
        answer(result)


topos = {"ring": Ring, "fattree": FatTree}
tests = {"drive": drive}
