"""What the drivers of the peers share.

A line on standard input names a round and its numbers ("getpid 300"); the answer is a line of JSON on standard output:
{"values": [...]}, the samples in nanoseconds (memory in KiB), none where the peer has no such thing; or {"error": "..."}.
The first line of all, {"version": "..."}, says what is measured.
"""

import json
import resource
import sys
import threading
import time

# Calls ahead of the clock: what they wake up, import or cache is not what is measured.
WARM = 10


def each(count, call):
    """How long each of `count` calls takes."""
    for _ in range(WARM):
        call()
    samples = []
    for _ in range(count):
        start = time.perf_counter_ns()
        call()
        samples.append(time.perf_counter_ns() - start)
    return samples


def once(call):
    """How long one call takes, and what it gives."""
    start = time.perf_counter_ns()
    result = call()
    return time.perf_counter_ns() - start, result


def expect(got, wanted):
    if got != wanted:
        raise ValueError("%.80r instead of %.80r" % (got, wanted))


def in_parallel(count, connect):
    """How long `count` threads take to connect and hear a first reply, and what they have connected."""
    made, failed = [], []

    def one():
        try:
            made.append(connect())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    start = time.perf_counter_ns()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    nanoseconds = time.perf_counter_ns() - start
    if failed:
        raise failed[0]
    return nanoseconds, made


def unshared(pid):
    """The memory that only this process has (USS), in KiB: proc_pid_smaps(5)."""
    with open("/proc/%d/smaps_rollup" % pid) as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def serve(version, rounds):
    """Answers until the end of the input."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    say({"version": "%s, Python %s" % (version, sys.version.split()[0])})
    for line in sys.stdin:
        name, *numbers = line.split()
        try:
            values = rounds[name](*map(int, numbers)) if name in rounds else []
            say({"values": values})
        except Exception as error:
            say({"error": "%s: %s" % (type(error).__name__, error)})


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
