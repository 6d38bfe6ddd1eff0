"""Measures execnet: drive_execnet.py PYTHON, the interpreter over there.

execnet has channels to a loop over there instead of calls, so each round has the loop that is best for it.
"""

import sys
from importlib.metadata import version
from threading import Event

import execnet
from rounds import each, expect, in_parallel, once, serve, unshared

SPEC = "popen//python=" + sys.argv[1]
FIRST = "import os; channel.send(os.getpid())"
# An item over there for each item from here.
GETPID = "import os\nfor _ in channel: channel.send(os.getpid())"
BY_NAME = "for text in channel: channel.send(eval(text))"
LENGTH = "for item in channel: channel.send(len(item))"
BLOB = "blob = b'x' * %d\nfor _ in channel: channel.send(blob)"
NUMBERS = "numbers = list(range(%d))\nfor _ in channel: channel.send(numbers)"
# The same the other way round, and the last answer in the end.
CALLBACK = """
for count in channel:
    for number in range(count):
        channel.send(number)
        last = channel.receive()
    channel.send(-last)
"""


def open_connection(group):
    gateway = group.makegateway(SPEC)
    return gateway.remote_exec(FIRST).receive()


def connect():
    group = execnet.Group()
    nanoseconds, _ = once(lambda: open_connection(group))
    group.terminate(5)
    return [nanoseconds]


def many(count):
    group = execnet.Group()
    nanoseconds, _ = in_parallel(count, lambda: open_connection(group))
    group.terminate(30)
    return [nanoseconds]


def answered(code, item):
    """Sends an item to a loop over there, and takes what it answers."""
    channel = here.remote_exec(code)

    def call():
        channel.send(item)
        return channel.receive()

    return channel, call


def calls(code, item, count):
    channel, call = answered(code, item)
    samples = each(count, call)
    channel.close()
    return samples


def pipelined(count, window):
    channel = here.remote_exec(GETPID)

    def run():
        waiting = 0
        for _ in range(count):
            if waiting == window:
                channel.receive()
                waiting -= 1
            channel.send(None)
            waiting += 1
        for _ in range(waiting):
            channel.receive()

    nanoseconds, _ = once(run)
    channel.close()
    return [nanoseconds // count]


def callback(count):
    channel = here.remote_exec(CALLBACK)
    ended, last = Event(), []

    def answer(number):
        if number < 0:
            last.append(-number)
            ended.set()
        else:
            channel.send(number + 1)

    channel.setcallback(answer)

    def run():
        channel.send(count)
        if not ended.wait(60):
            raise TimeoutError("no callback")

    nanoseconds, _ = once(run)
    expect(last, [count])
    channel.close()
    return [nanoseconds // count]


def moved(code, item, wanted):
    """One item each way, the loop over there being ready."""
    channel, call = answered(code, item)
    nanoseconds, got = once(call)
    expect(got if isinstance(got, int) else len(got), wanted)
    channel.close()
    return [nanoseconds]


def uss():
    group = execnet.Group()
    kib = unshared(open_connection(group))
    group.terminate(5)
    return [kib]


if __name__ == "__main__":
    here = execnet.makegateway(SPEC)
    serve("execnet " + version("execnet"), {
        "connect": connect,
        "many": many,
        "getpid": lambda count: calls(GETPID, None, count),
        "modules": lambda count: calls(BY_NAME, "__import__('os').getpid()", count),
        "pipelined": pipelined,
        "callback": callback,
        "send": lambda size: moved(LENGTH, b"x" * size, size),
        "receive": lambda size: moved(BLOB % size, None, size),
        "list-send": lambda count: moved(LENGTH, list(range(count)), count),
        "list-receive": lambda count: moved(NUMBERS % count, None, count),
        "uss": uss,
    })
    here.exit()
