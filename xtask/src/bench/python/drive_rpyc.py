"""Measures rpyc in its classic mode: drive_rpyc.py RPYC_CLASSIC, the path of the server that rpyc installs."""

import sys
from collections import deque
from importlib.metadata import version

import rpyc
from rounds import each, expect, in_parallel, once, serve, unshared


def open_connection():
    # With the path, since it would start a shell to find it.
    connection = rpyc.classic.connect_subproc(sys.argv[1])
    return connection, connection.modules.os.getpid()


def close(connection):
    connection.close()
    connection.proc.stdin.close()
    connection.proc.wait()
    connection.proc.stdout.close()


def connect():
    nanoseconds, (connection, _) = once(open_connection)
    close(connection)
    return [nanoseconds]


def many(count):
    nanoseconds, made = in_parallel(count, open_connection)
    for connection, _ in made:
        close(connection)
    return [nanoseconds]


def pipelined(count, window):
    start = rpyc.async_(here.modules.os.getpid)

    def calls():
        pending = deque()
        for _ in range(count):
            if len(pending) == window:
                pending.popleft().value
            pending.append(start())
        while pending:
            pending.popleft().value

    return [once(calls)[0] // count]


def callback(count):
    function = here.eval("lambda f, n: [f(i) for i in range(n)][-1]")
    nanoseconds, last = once(lambda: function(lambda x: x + 1, count))
    expect(last, count)
    return [nanoseconds // count]


def send(size):
    blob = b"x" * size
    length = here.builtins.len
    nanoseconds, got = once(lambda: length(blob))
    expect(got, size)
    return [nanoseconds]


def receive(size):
    here.execute("blob = b'x' * %d" % size)
    nanoseconds, got = once(lambda: here.eval("blob"))
    expect(len(got), size)
    return [nanoseconds]


def send_list(count):
    numbers = list(range(count))
    nanoseconds, there = once(lambda: rpyc.classic.deliver(here, numbers))
    expect(len(there), count)
    return [nanoseconds]


def receive_list(count):
    there = here.eval("list(range(%d))" % count)
    nanoseconds, got = once(lambda: rpyc.classic.obtain(there))
    expect(len(got), count)
    return [nanoseconds]


def iterate(count):
    there = here.eval("list(range(%d))" % count)
    nanoseconds, total = once(lambda: sum(there))
    expect(total, count * (count - 1) // 2)
    return [nanoseconds // count]


def uss():
    connection, pid = open_connection()
    kib = unshared(pid)
    close(connection)
    return [kib]


if __name__ == "__main__":
    here, _ = open_connection()
    getpid = here.modules.os.getpid
    serve("rpyc " + version("rpyc"), {
        "connect": connect,
        "many": many,
        "getpid": lambda count: each(count, getpid),
        "modules": lambda count: each(count, lambda: here.modules.os.getpid()),
        "pipelined": pipelined,
        "callback": callback,
        "send": send,
        "receive": receive,
        "list-send": send_list,
        "list-receive": receive_list,
        "iterate": iterate,
        "uss": uss,
    })
    close(here)
