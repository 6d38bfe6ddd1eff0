"""Measures mitogen: drive_mitogen.py PYTHON, the interpreter over there.

It finds each function by its module and name, so a call is a call from nothing. It has neither proxies nor callbacks.
"""

import builtins
import os
import sys
from collections import deque
from importlib.metadata import version

import mitogen.core
import mitogen.master
from rounds import each, expect, in_parallel, once, serve, unshared


def open_connection():
    # 200 at once may take longer than its 30 seconds.
    context = router.local(python_path=[sys.argv[1]], connect_timeout=150)
    return context, context.call(os.getpid)


def connect():
    nanoseconds, (context, _) = once(open_connection)
    context.shutdown(wait=True)
    return [nanoseconds]


def many(count):
    nanoseconds, made = in_parallel(count, open_connection)
    for context, _ in made:
        context.shutdown(wait=True)
    return [nanoseconds]


def getpid(count):
    return each(count, lambda: here.call(os.getpid))


def pipelined(count, window):
    def calls():
        pending = deque()
        for _ in range(count):
            if len(pending) == window:
                pending.popleft().get().unpickle()
            pending.append(here.call_async(os.getpid))
        while pending:
            pending.popleft().get().unpickle()

    return [once(calls)[0] // count]


def send(size):
    blob = mitogen.core.Blob(b"x" * size)
    nanoseconds, got = once(lambda: here.call(builtins.len, blob))
    expect(got, size)
    return [nanoseconds]


def send_list(count):
    numbers = list(range(count))
    nanoseconds, got = once(lambda: here.call(builtins.len, numbers))
    expect(got, count)
    return [nanoseconds]


def receive(code, wanted):
    """What the code makes over there is kept in a module, so that only its way here is measured."""
    here.call(builtins.eval, "setattr(__import__('builtins'), 'kept', %s)" % code)
    nanoseconds, got = once(lambda: here.call(builtins.eval, "kept"))
    expect(len(got), wanted)
    return [nanoseconds]


def uss():
    context, pid = open_connection()
    kib = unshared(pid)
    context.shutdown(wait=True)
    return [kib]


if __name__ == "__main__":
    broker = mitogen.master.Broker()
    router = mitogen.master.Router(broker)
    here, _ = open_connection()
    serve("mitogen " + version("mitogen"), {
        "connect": connect,
        "many": many,
        "getpid": getpid,
        "modules": getpid,
        "pipelined": pipelined,
        "send": send,
        "receive": lambda size: receive("b'x' * %d" % size, size),
        "list-send": send_list,
        "list-receive": lambda count: receive("list(range(%d))" % count, count),
        "uss": uss,
    })
    broker.shutdown()
    broker.join()
