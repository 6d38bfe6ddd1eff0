"""The agent: serves this interpreter to a Thither client, over a pair of descriptors.

One file, standard library only, Python 3.6 and later. A client feeds it to `python3 -c` (see boot.py); a program of
yours can import it as a module and call `serve`. Imports that cost time are made when they are first needed.

Parts. To compile this file takes longer than Python needs to start, so what a client has started compiles each of its four
parts when it is first needed. The first is what the first calls need as long as they are plain ones, and it is short: each
line of it costs 6 us of every start. It sees when there is more to do; then the second part takes over for good.

Threads. The thread that runs `Agent.run`, the main thread if a client has started us, executes what is asked for, and
reads the channel itself while it is idle: no hand-over on the fast path. While a call takes longer than a tick, the
watch thread reads in its place, so that others' calls, answers to callbacks, cancellations and the end of the client
are seen; calls of the client's other threads then run on worker threads. `reading` is held by whoever reads.
"""

import _io
import _signal
import os
import sys
from _thread import RLock, allocate_lock, get_ident, start_new_thread
from marshal import dumps, loads
from time import sleep

VERSION = 1
VALUE, OBJECT, OPTION, NOTHING = range(4)  # what a call wants of its result, in its flags
SAYABLE = type(None), bool, int, float, str  # what is always copied
LARGE = 65536
TICK = 0.01
FIRST_CALLS = 8
GRACE = 0.5
FORMAT = 2  # of marshal: no back references, so what it writes is a tree
GLOBALS = globals()
BUILTINS = sys.modules['builtins'].__dict__
PARTS = GLOBALS.get('PARTS')  # those that follow, if a client has sent them
LOADING = RLock()
AGENTS = []  # of this program, to be called; after a fork, none is the child's


def load():
    """The second part takes over."""
    global PARTS
    with LOADING:
        if not Agent.is_ripe:
            parts = PARTS.split(b'\n# --- Part ')
            exec(compile(b'#' + parts[0], '<thither>', 'exec', 0, True), GLOBALS)
            PARTS = parts[1:]


def forked():
    global LOADING
    LOADING = RLock()
    for agent in AGENTS:
        agent = agent()
        if agent:
            agent.forked()


class Lazy:
    def __getattr__(self, name):
        load()
        return getattr(self, name)


class Session(Lazy):
    """What a client asks for by name: the root object of its calls."""

    def __init__(self, agent, namespace):
        self.agent = agent
        self.namespace = namespace


class Output(_io._BufferedIOBase):
    """Standard output or error of this program's Python code: lines go straight to the client."""

    def __init__(self, agent, fd):
        self.agent = agent
        self.fd = fd

    def writable(self):
        return True

    def fileno(self):
        return self.fd

    def write(self, data):
        load()
        return self.write(data)


class Agent(Lazy):
    is_ripe = False  # whether it has what the second part wants
    busy = interrupted = is_child = closing = is_parked = False
    started = tag = 0
    streams = held = ()

    def __init__(self, source, sink, namespace, logs):
        self.source = source
        self.sink = sink
        self.namespace = namespace
        self.logs = logs
        self.pid = os.getpid()
        self.ident = get_ident()
        self.sending = RLock()
        self.reading = allocate_lock()
        self.parked = allocate_lock()
        self.parked.acquire()
        self.objects = {1: [Session(self, namespace), 1]}
        self.calls = []
        self.early = []
        self.pipes = {}

    def capture(self):
        """Standard output and error of this program, its C code and its children become frames."""
        self.streams = []
        for fd, old, errors in (1, sys.stdout, 'surrogateescape'), (2, sys.stderr, 'backslashreplace'):
            source, sink = os.pipe()
            os.set_blocking(source, False)
            os.dup2(sink, fd)
            os.close(sink)
            self.pipes[source] = fd
            self.streams.append(Output(self, fd))
            yield _io.TextIOWrapper(self.streams[-1], old.encoding, errors, newline='\n', write_through=True)

    def reply_plainly(self, number, payload):
        frame = len(payload).to_bytes(4, 'little') + b'\x01\0\0\0' + number.to_bytes(8, 'little') + payload
        with self.sending:
            try:
                sent = os.write(self.sink, frame)
            except OSError:
                sent = 0
            if sent < len(frame):
                self.send_all((frame[sent:],))

    def watch(self):
        """The second part takes over if a call takes its time."""
        seen = 0
        while not self.is_ripe:
            sleep(TICK)
            if self.started != seen:
                seen = self.started
            elif self.busy:
                load()
            else:
                self.parked.acquire()
        self.keep_watch(seen)

    def first_calls(self, receive):
        """Answers the first calls while they are plain. Gives back the first frame that is not, if it has read that."""
        while self.started < FIRST_CALLS and not self.is_ripe and self.reading.acquire(False):
            try:
                if self.started and not self.is_asked():
                    return None
                header = receive(self.source, 16)
                if not header:
                    return b''
                length, number = int.from_bytes(header[:4], 'little'), int.from_bytes(header[8:], 'little')
                self.tag = header[6] + 256 * header[7]
                if header[4] or header[5] > NOTHING or number >> 32 or length > LARGE or self.logs:
                    # No call, or one within one of the client's, or that wants what is not known here.
                    return self.read_rest(header)
                parts = loads(receive(self.source, length))
                if parts[5] or parts[2] != 'call' or self.is_ripe:
                    return self.understood(header, parts)
            finally:
                self.reading.release()
            self.answer_plainly(header[5], number, *parts)
            parts = None

    def is_asked(self):
        """Waits until there is a frame; false if a child prints before."""
        import select

        poller = select.poll()
        for fd in (self.source, *self.pipes):
            poller.register(fd, select.POLLIN)
        return all(fd == self.source for fd, event in poller.poll())

    def answer_plainly(self, want, number, o, path, op, args, kwargs, refs):
        self.calls.append(number)
        self.started += 1
        self.busy = True
        if self.parked.locked():
            self.parked.release()
        payload = None
        try:
            o = perform(self, self.objects[o][0] if o else None, path, op, args, kwargs)
            if (want == NOTHING or want == VALUE and type(o) in SAYABLE) and not self.is_ripe and self.is_silent():
                payload = dumps((None if want else o, ()), FORMAT)
        except BaseException as error:
            o = self.caught(error)
        self.calls.pop()
        if payload is None or len(payload) >= LARGE:
            box = [o]
            o = None
            self.answer(box, op, want, number, self.main)
        else:
            self.reply_plainly(number, payload)
        self.busy = False

    def is_silent(self):
        """Whether nothing is in the pipes. Those of a forked child are its parent's."""
        if os.getpid() != self.pid:
            return False
        for fd in self.pipes:
            try:
                self.early.append((fd, os.read(fd, LARGE)))
            except BlockingIOError:
                pass
        return not self.early

    def on_interrupt(self, signal, frame):
        if LOADING._is_owned():
            self.interrupted = True
        else:
            self.interrupt_in(frame)


def perform(agent, o, path, op, args, kwargs):
    """Calls what a path leads to; see that of the second part."""
    if type(path) is str:
        path = (path,)
    elif o is None:
        name, *path = path
        spaces = [space for space in (agent.namespace, BUILTINS) if name in space]
        o = spaces[0][name] if spaces else sys.modules.get(name) or __import__(name)
    for name in path:
        try:
            o = getattr(o, name)
        except AttributeError:
            o = agent.attribute(o, name)
    return o(*args, **kwargs or {})


def main(logs, receive):
    """Serves the client that has started this interpreter, over its standard input and output."""
    if sys.platform == 'win32':
        load()
        return later(1, 'main_on_windows')(logs)
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.modules['__main__'] = module = type(sys)('__main__')
    module.__builtins__ = sys.modules['builtins']
    sys.argv[:] = ['']
    # Nothing is written to the disk, imports' bytecode neither.
    sys.dont_write_bytecode = True
    agent = Agent(source, sink, module.__dict__, logs)
    AGENTS.append(lambda: agent)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = list(agent.capture())
    if hasattr(os, 'register_at_fork'):
        os.register_at_fork(after_in_child=forked)
    if _signal.getsignal(2) in (_signal.default_int_handler, _signal.SIG_IGN):
        _signal.signal(2, agent.on_interrupt)
    start_new_thread(agent.watch, ())
    frame = agent.first_calls(receive)
    if frame != b'':
        agent.serve(frame)
    # Threads that go on do not keep it.
    start_new_thread(lambda: (sleep(GRACE), os._exit(0)), ())


# --- Part two: what follows the first calls ---------------------------------------------------------------------------

import io
import select
from _collections import deque
from _struct import Struct

HEADER = Struct('<IBBHII')  # length of the payload, kind, flags, thread, id, within
CALL, REPLY, ERROR, CALLBACK, RETURN, RAISE, CANCEL, DROP, OUTPUT, LOG, HELLO = range(11)
APART = 4  # beside what a call wants: it may wait for long and is of no thread of the client's
# Kinds of references.
OF_AGENT, OF_CLIENT, RAW = range(3)
MORE, WANT = 0x80, 0x7F  # flags of a call: more calls follow at once; what it wants
MOST_REPLIES = 256  # gathered
CHUNK = 60000  # of output: a frame that a pipe takes whole
DEPTH = 190
SIGINT = 2

pack, unpack = HEADER.pack, HEADER.unpack
NONE = dumps((None, ()), FORMAT)
ATOMS = {type(None), bool, int, float, complex, str, bytes, type(Ellipsis)}
HIDDEN = (lambda: 0).__code__.co_filename  # of this file: '<thither>' if a client has sent it
SMALL = {type(None), bool, int, float}
LARGE_TYPES = {bytes, bytearray, memoryview}
FIRST = perform
NO_FORK_HOOK = hasattr(os, 'fork') and not hasattr(os, 'register_at_fork')
OPS = None
PARTS = [] if PARTS is None else PARTS


def later(count, name):
    """Something of the last so many parts."""
    while len(PARTS) >= count:
        with LOADING:
            if len(PARTS) >= count:
                exec(compile(b'#' + PARTS[0], HIDDEN, 'exec', 0, True), GLOBALS)
                del PARTS[0]
    return GLOBALS[name]


def needed(name):
    return later(2, name)


def seldom(kind, name):
    """A method of the third part."""
    try:
        return kind.__dict__[name]
    except KeyError:
        raise AttributeError(name) from None


class Closed(BaseException):
    """The client is gone."""


class Error(Exception):
    """What a callback over there has failed with."""


# --- Names, code, modules -----------------------------------------------------------------------------------------


def find(names, namespace):
    """The object of a dotted name: of the session, of the builtins, else a module, with its submodules."""
    first = names[0]
    if first in namespace:
        o = namespace[first]
    elif first in BUILTINS:
        o = BUILTINS[first]
    else:
        o = sys.modules.get(first) or __import__(first)
    for name in names[1:]:
        o = attribute(o, name)
    return o


def attribute(o, name):
    try:
        return getattr(o, name)
    except AttributeError:
        if type(o) is not type(sys):
            raise
        full = o.__name__ + '.' + name
        try:
            __import__(full)
        except ImportError as error:
            if error.name != full:
                raise
        else:
            return sys.modules[full]
        raise


def perform(agent, o, path, op, args, kwargs):
    """Does what was asked for; here, and in what this calls, an interrupt is raised."""
    if agent.interrupted:
        # It came before we were here.
        agent.check_interrupt()
    if type(path) is str:
        # One attribute, as most calls of a method.
        try:
            o = getattr(o, path)
        except AttributeError:
            o = attribute(o, path)
    elif o is None:
        o = find(path, agent.namespace)
    else:
        for name in path:
            o = attribute(o, name)
    if op == 'call':
        return o(*args, **kwargs) if kwargs else o(*args)
    if op == 'get':
        return o
    return (OPS or needed('OPS'))[op](o, *args)


class Scopes:
    """What a session is often asked for."""

    def imported(self, name):
        __import__(name)
        return sys.modules[name]

    def compiled(self, source, name='<string>', mode='exec'):
        if name != '<string>':
            needed('remember')(name, source)
        return compile(source, name, mode, dont_inherit=True)

    def evaluate(self, source, variables=None, globals=None):
        # Text is not given to `compile`, which makes the classes of syntax trees first, and that takes 0.6 ms.
        source = source.strip() if isinstance(source, (str, bytes)) else source
        return eval(source, self.scope(variables, globals))

    def scope(self, variables, globals):
        """Where code runs. Given variables are as global ones, so that functions and comprehensions see them."""
        if globals is None:
            globals = self.namespace
        if variables is not None:
            globals = dict(globals)
            globals.update(variables)
        return globals

    def execute(self, source, variables=None, globals=None):
        """Runs statements. Of given variables: those that were bound, as (name, is copied, value), and those deleted."""
        scope = self.scope(variables, globals)
        before = None if variables is None else dict(scope)
        exec(source, scope)
        if before is None:
            return None
        changed = []
        for name, value in scope.items():
            if name in before and before[name] is value and (name not in variables or type(value) in ATOMS):
                continue
            if name == '__builtins__':
                continue
            refs = []
            try:
                data = dumps(value, FORMAT)
                if b'c' in data or b'S' in data:
                    # Code and StopIteration would be taken for values.
                    needed('plain')(value, refs, None, 0)
            except ValueError:
                refs.append(None)
            changed.append((name, 0, needed('Uncopied')(value)) if refs else (name, 1, value))
        return tuple(changed), tuple(name for name in before if name not in scope)

    def __getattr__(self, name):
        return seldom(needed('More'), name).__get__(self)


# --- A connection -------------------------------------------------------------------------------------------------


class Callback:
    """A function of the client's. An odd number: its arguments come as objects."""

    __slots__ = ('agent', 'number', 'count', '__weakref__')

    def __init__(self, agent, number):
        self.agent = agent
        self.number = number
        self.count = 0

    def __call__(self, *args, **kwargs):
        return self.agent.call_back(self, args, kwargs)

    def __del__(self):
        self.agent.gone.append((self.number, self.count))

    def __repr__(self):
        return '<function %d of the client>' % self.number


class Failed:
    """What was raised instead of a result."""

    __slots__ = ('payload',)

    def __init__(self, payload):
        self.payload = payload


class Thread:
    """Where frames for one thread of ours wait: new calls, and what belongs to a callback that it waits for.

    `lock` is held by itself, and released to wake it.
    """

    __slots__ = ('frames', 'inner', 'lock', 'calls', 'tag', 'ident', 'user', 'guard', 'hit')

    def __init__(self, tag, ident=None):
        self.frames = deque()
        self.inner = deque()
        self.lock = allocate_lock()
        self.lock.acquire()
        self.calls = []
        self.tag = tag
        self.ident = ident
        self.user = False
        self.guard = allocate_lock()
        self.hit = False

    def wake(self):
        try:
            self.lock.release()
        except RuntimeError:
            pass  # it is awake


class Printing:
    """What is written to standard output or error."""

    def write(self, data):
        data = bytes(data)
        with self.lock:
            if self.other.pending:
                # It was printed before.
                self.other.flush()
            self.pending.append(data)
            self.size += len(data)
            if b'\n' in data or self.size >= 8192:
                self.flush()
        self.agent.check_interrupt()
        return len(data)

    def flush(self):
        if not self.pending:
            return
        with self.lock:
            data, self.pending, self.size = b''.join(self.pending), [], 0
            if self.agent.is_child:
                while data:
                    data = data[os.write(self.fd, data):]
                return
            self.agent.drain()
            for start in range(0, len(data), CHUNK):
                self.agent.send(OUTPUT, self.fd, 0, 0, 0, data[start : start + CHUNK])


class Serving:
    """What an agent does once it does all."""

    # --- Frames

    def read(self, count):
        data = self.reader.read(count)
        if data is None or len(data) < count:
            if data == b'' and count:
                raise Closed
            data = self.read_slowly(data, count)
        return data

    def read_frame(self):
        return self.read_rest(self.read(16))

    def read_rest(self, header):
        length, kind, flags, tag, number, within = unpack(self.read_slowly(header, 16) if len(header) < 16 else header)
        self.promised = kind == CALL and flags >= MORE
        if not length:
            return kind, flags, tag, number, within, ()
        return self.understood(header, loads(self.read(length)))

    def understood(self, header, parts):
        length, kind, flags, tag, number, within = unpack(header)
        if parts[-1]:
            parts = self.resolved(parts)
        if kind == CALL:
            # Now, as what drops it may come next.
            root = parts[0]
            parts = (self.objects[root][0] if root else None,) + parts[1:]
        return kind, flags, tag, number, within, parts

    def send(self, kind, flags, tag, number, within, payload, raw=None):
        header = pack(len(payload), kind, flags, tag, number, within)
        parts = (header + payload,) if len(payload) < LARGE else (header, payload)
        if raw is not None:
            parts += (raw,)
        self.send_all(parts)

    def send_all(self, parts):
        with self.sending:
            if self.writing:
                # A destructor has interrupted the writing of a frame, and writes.
                self.late.append(b''.join(parts))
                return
            self.writing = True
            try:
                for part in parts:
                    self.write(part)
                while self.late:
                    self.write(self.late.popleft())
            finally:
                self.writing = False

    def write(self, data):
        try:
            written = os.write(self.sink, data)
            if written == len(data):
                return
        except BlockingIOError:
            written = 0
        except OSError:
            raise Closed from None
        view = memoryview(data).cast('B')[written:]
        while view:
            try:
                view = view[os.write(self.sink, view):]
            except BlockingIOError:
                select.select([], [self.sink], [])
            except OSError:
                raise Closed from None

    # --- References

    def reference(self, o):
        if type(o) is Callback and o.agent is self:
            return OF_CLIENT, o.number
        with self.table:
            number = self.handles.get(id(o))
            if number is None:
                self.last = number = self.last + 1 & 0xFFFFFFFF or 2
                while number in self.objects:
                    self.last = number = number + 1 & 0xFFFFFFFF or 2
                self.objects[number] = [o, 1]
                self.handles[id(o)] = number
            else:
                self.objects[number][1] += 1
        return OF_AGENT, number

    # --- Whose turn it is to read

    def keep_watch(self, seen):
        """Reads while the main thread takes its time."""
        try:
            while True:
                sleep(TICK)
                if self.closing:
                    return
                if self.replies and self.busy:
                    # One of many calls takes its time.
                    self.send_replies()
                if self.started != seen:
                    seen = self.started
                elif not self.busy:
                    self.is_parked = True
                    if not self.busy:
                        self.parked.acquire()
                    self.is_parked = False
                elif self.reading.acquire(False):
                    try:
                        if self.replies:
                            self.send_replies()
                        while True:
                            self.route(self.read_frame(), None)
                            if self.idle:
                                break
                    finally:
                        self.reading.release()
                        if self.idle:
                            self.main.wake()
        except Closed:
            self.close()

    def unpark(self):
        self.is_parked = False
        try:
            self.parked.release()
        except RuntimeError:
            pass

    # --- Calls

    def serve(self, frame):
        """Serves until the client is gone; first what was read already, if that is not None."""
        self.unpark()
        thread = self.main
        frames, calls, replies, objects = thread.frames, thread.calls, self.replies, self.objects
        acquire, release, read = self.reading.acquire, self.reading.release, self.reader.read
        served = not self.hello
        try:
            # The first calls are answered before what others may need is imported: on this thread, since before Python 3.13
            # that which imports `threading` is the main one for it.
            while frame or self.started < FIRST_CALLS:
                self.execute_next(thread, frame)
                frame = None
            import threading  # noqa: F401

            while True:
                if frames or not acquire(False):
                    frame = self.next(thread, False)
                else:
                    # What most calls are, without a detour: what is done here is done by `next`, `route` and `execute`, too.
                    try:
                        header = read(16)
                        if header is None or len(header) < 16:
                            if header == b'':
                                raise Closed
                            header = self.read_slowly(header, 16)
                        length, kind, flags, tag, number, within = unpack(header)
                        if kind != CALL or within or length >= LARGE or self.workers or self.logs or served:
                            frame = self.read_rest(header)
                            length = 0
                        else:
                            self.promised = flags >= MORE
                            data = read(length)
                            if data is None or len(data) < length:
                                data = self.read_slowly(data, length)
                            parts = loads(data)
                            if parts[5]:
                                parts = self.resolved(parts)
                            o, path, op, args, kwargs, refs = parts
                            o = objects[o][0] if o else None
                    finally:
                        release()
                    if length:
                        if flags & WANT == VALUE:
                            self.started += 1
                            self.busy = True
                            if self.is_parked:
                                self.unpark()
                            thread.tag = tag
                            self.interrupted = False
                            calls.append(number)
                            try:
                                o = perform(self, o, path, op, args, kwargs)
                                if type(o) in SMALL or type(o) is str and len(o) < LARGE:
                                    data = dumps((o, ()), FORMAT)
                                    kind = REPLY
                            except BaseException as error:
                                kind = ERROR
                                data = self.failure(error)
                            calls.pop()
                            # As in `execute`.
                            box = [o] if kind == CALL else None
                            o = args = kwargs = parts = None
                            if kind == CALL:
                                # Done, but not so easily said.
                                self.answer(box, op, flags, number, thread)
                            elif self.promised and len(replies) < MOST_REPLIES and not self.is_child and not NO_FORK_HOOK:
                                replies.append(pack(len(data), kind, 0, 0, number, 0) + data)
                                if self.reading.locked():
                                    # Somebody else reads what was promised.
                                    self.send_replies()
                            else:
                                self.finish(kind, data, None, flags, number, thread)
                            self.busy = False
                            continue
                        frame = kind, flags, tag, number, within, (o, path, op, args, kwargs, refs)
                        o = args = kwargs = parts = None
                    if not length or flags & APART:
                        frame = self.route(frame, False)
                    if frame is None:
                        if replies:
                            self.send_replies()
                        continue
                self.started += 1
                self.busy = True
                if self.is_parked:
                    self.unpark()
                box = [frame]
                frame = None
                self.execute(box, thread)
                self.busy = False
        except Closed:
            self.closing = True
        finally:
            self.busy = False
        if self.held and self.hello:
            self.put_away()

    def execute_next(self, thread, frame):
        if frame is None and not thread.frames and self.reading.acquire(False):
            try:
                frame = self.read_frame()
            finally:
                self.reading.release()
        if frame is None:
            frame = self.next(thread, False)
        elif frame[0] != CALL or frame[1] & APART or frame[4] or self.workers:
            frame = self.route(frame, False) or self.next(thread, False)
        self.started += 1
        self.busy = True
        if self.is_parked:
            self.unpark()
        box = [frame]
        frame = None
        self.execute(box, thread)
        self.busy = False

    def execute(self, box, thread):
        """Answers a call: the only thing in `box`, so that nothing here holds what the client may let go once it is answered."""
        kind, flags, tag, number, within, (root, path, op, args, kwargs, refs) = box.pop()
        thread.tag = tag
        if not thread.calls:
            self.interrupted = False
        thread.calls.append(number)
        try:
            if number in self.cancelled:
                raise KeyboardInterrupt('before it began')
            if self.logs:
                self.log('%s of %s' % (op, path if type(path) is str else '.'.join(path)))
            thread.user = True
            try:
                box.append(perform(self, root, path, op, args, kwargs))
            finally:
                self.leave(thread)
        except BaseException as error:
            box[:] = [Failed(self.failure(error))]
        root = args = kwargs = None
        thread.calls.pop()
        self.answer(box, op, flags, number, thread)

    def leave(self, thread):
        """From here on the thread is not interrupted; what is on its way is taken back, or met here."""
        while True:
            try:
                with thread.guard:
                    thread.user = False
                    hit, thread.hit = thread.hit, False
                if hit:
                    self.take_back(thread)
                return
            except KeyboardInterrupt:
                pass

    def failure(self, error):
        if self.closing or type(error) is Closed:
            raise Closed from None
        return self.failed(error)

    def caught(self, error):
        return Failed(self.failure(error))

    def attribute(self, o, name):
        return attribute(o, name)

    def answer(self, box, op, flags, number, thread):
        """Says what a call has given, the only thing in `box`, as the caller wants it."""
        result = box.pop()
        want = flags & WANT
        raw = None
        kind = REPLY
        try:
            if type(result) is Failed:
                kind = ERROR
                payload = result.payload
            elif op == 'take':
                payload = self.batch(result, want)
            elif want == NOTHING or want == OPTION and result is None:
                payload = NONE
            elif want == VALUE:
                if type(result) in LARGE_TYPES and len(result) >= LARGE:
                    # As bytes, however it lies in memory.
                    raw = memoryview(result)
                    raw = raw.cast('B') if raw.c_contiguous else memoryview(bytes(raw))
                    payload = dumps((StopIteration, ((RAW, raw.nbytes),)), FORMAT)
                else:
                    try:
                        payload = dumps((result, ()), FORMAT)
                    except ValueError:
                        refs = []
                        result = needed('plain')(result, refs, self, 0)
                        payload = dumps((result, tuple(refs)), FORMAT)
            else:
                payload = dumps((StopIteration, (self.reference(result),)), FORMAT)
        except BaseException as error:
            kind = ERROR
            payload = self.failure(error)
        result = refs = None
        self.finish(kind, payload, raw, flags, number, thread)

    def finish(self, kind, payload, raw, flags, number, thread):
        """Sends a reply, or keeps it for those that follow."""
        if self.is_child or NO_FORK_HOOK and os.getpid() != self.pid:
            self.leave_child(kind, payload)
        if thread is self.main and (self.promised or self.replies):
            if raw is None and len(payload) < LARGE:
                self.replies.append(pack(len(payload), kind, 0, 0, number, 0) + payload)
                if self.promised and len(self.replies) < MOST_REPLIES and not self.reading.locked():
                    return
            self.send_replies()
            if raw is None and len(payload) < LARGE:
                return
        elif self.streams:
            self.flush()
        self.send(kind, 0, 0, number, 0, payload, raw)
        if self.gone:
            self.send_gone()

    def send_replies(self):
        """Sends replies that were gathered while more calls were known to follow."""
        if self.streams:
            self.flush()
        replies = []
        try:
            while True:
                replies.append(self.replies.popleft())
        except IndexError:
            pass
        if replies:
            self.send_all((b''.join(replies),))
        if self.gone:
            self.send_gone()

    # --- Cancelling and closing

    def interrupt_in(self, frame):
        """SIGINT reaches the user's code at once; ours where it leaves no half of a frame."""
        target, self.target = self.target, 0
        if target and target not in self.main.calls:
            # It has ended meanwhile.
            return
        if frame is not None and frame.f_globals is GLOBALS and frame.f_code not in needed('open_code')():
            self.interrupted = True
        elif self.busy:
            raise KeyboardInterrupt

    def check_interrupt(self):
        if self.interrupted and get_ident() == self.main.ident:
            self.interrupted = False
            raise KeyboardInterrupt

    # --- Output

    def relay(self, waiter):
        try:
            while self.pipes:
                for fd, event in waiter.poll():
                    if fd not in self.pipes:
                        waiter.unregister(fd)
                self.drain()
        except Closed:
            pass

    def drain(self):
        """Sends what is in the pipes."""
        with self.draining:
            while self.early:
                # The first part has found it.
                fd, data = self.early.pop(0)
                if data:
                    self.send(OUTPUT, self.pipes[fd], 0, 0, 0, data)
            for fd, event in self.poller.poll(0):
                while True:
                    try:
                        data = os.read(fd, CHUNK)
                    except BlockingIOError:
                        break
                    if not data:
                        # Every copy of the other end was closed.
                        self.poller.unregister(fd)
                        del self.pipes[fd]
                        break
                    self.send(OUTPUT, self.pipes[fd], 0, 0, 0, data)
                    if len(data) < CHUNK:
                        break

    def flush(self):
        """What was printed is on its way before what comes next."""
        for stream in self.streams:
            if stream.pending:
                stream.flush()
        self.drain()

    def __getattr__(self, name):
        return seldom(needed('Cold'), name).__get__(self)


def ripen(agent):
    """Gives an agent what it has not needed for the first calls."""
    agent.hello = bool(agent.streams)
    agent.reader = io.open(agent.source, 'rb', LARGE, closefd=False)
    agent.writing = False
    agent.late = deque()
    agent.idle = False
    agent.replies = deque()
    agent.promised = False  # by the last frame that was read: another call follows
    agent.cancelled = deque((), 64)
    agent.target = 0
    agent.main = Thread(agent.tag, agent.ident)
    agent.main.calls = agent.calls
    agent.spawning = RLock()
    agent.workers = {}
    agent.apart = []
    agent.spare = []
    agent.by_ident = {agent.ident: agent.main}
    agent.waiting = {}
    agent.callbacks = {}
    agent.gone = deque()
    agent.numbers = 0
    agent.last = 1
    agent.handles = {}
    agent.table = RLock()
    # One for all: a destructor that prints may come in the middle of each.
    agent.draining = agent.sending
    agent.poller = waiter = None
    if agent.pipes:
        agent.poller, waiter = select.poll(), select.poll()
    for fd in agent.pipes:
        agent.poller.register(fd, select.POLLIN)
        waiter.register(fd, select.POLLIN)
    for stream, other in zip(agent.streams, agent.streams[::-1]):
        stream.pending, stream.size, stream.lock, stream.other = [], 0, agent.sending, other
    if agent.streams and os.getpid() == agent.pid:
        start_new_thread(agent.relay, (waiter,))


def take_over():
    """From here on, this part does what the first one did, and what that did not."""
    for kind, more in (Agent, Serving), (Output, Printing), (Session, Scopes):
        for name, value in more.__dict__.items():
            if name == '__getattr__' or not name.startswith('__'):
                setattr(kind, name, value)
    for agent in AGENTS:
        ripen(agent())
    Agent.is_ripe = True


take_over()


# --- Part three: what is seldom needed ------------------------------------------------------------------------------


import _operator
import _weakref

# --- What can be asked of an object -------------------------------------------------------------------------------


def call(o, *args, **kwargs):
    return o(*args, **kwargs)


def special(name):
    """A special method looked up as the interpreter does: on the type."""
    return lambda o, *args: getattr(type(o), name)(o, *args)


def swapped(operator):
    return lambda o, other: operator(other, o)


ops = {
    'call': call,
    'get': lambda o: o,
    'enter': special('__enter__'),
    'exit': special('__exit__'),
    'reversed': reversed,
    'getslice': lambda o, *ends: o[slice(*ends)],
    'setslice': lambda o, value, *ends: _operator.setitem(o, slice(*ends), value),
    'delslice': lambda o, *ends: _operator.delitem(o, slice(*ends)),
}
for name in (
    'add sub mul matmul truediv floordiv mod pow and_ or_ xor lshift rshift neg pos invert abs index lt le eq ne gt ge is_'
    ' getitem setitem delitem contains concat iadd isub imul imatmul itruediv ifloordiv imod ipow iand ior ixor'
    ' ilshift irshift not_ truth'
).split():
    ops[name] = getattr(_operator, name)
for name in 'add sub mul matmul truediv floordiv mod pow and_ or_ xor lshift rshift'.split():
    ops['r' + name] = swapped(ops[name])
for name in (
    'len iter next repr str ascii bytes hash bool int float complex round divmod dir type id isinstance issubclass'
    ' callable getattr setattr delattr hasattr format sorted'
).split():
    ops[name] = BUILTINS[name]


class Cold:
    """What an agent seldom does."""

    def next(self, thread, inner):
        """The next frame for a thread: a new call or, `inner`, one that belongs to the callback that it waits for."""
        frames = thread.inner if inner else thread.frames
        while True:
            if frames:
                return frames.popleft()
            if thread is not self.main:
                if not thread.lock.acquire(True, -1 if inner else 1) and not frames:
                    return None
                if self.closing and not frames:
                    raise Closed
            elif self.reading.acquire(False):
                try:
                    frame = self.read_frame()
                finally:
                    self.reading.release()
                frame = self.route(frame, inner)
                if frame is not None:
                    return frame
                if self.replies:
                    # What follows was for somebody else.
                    self.send_replies()
            else:
                if self.replies:
                    self.send_replies()
                if self.replies:
                    # What was promised to follow went to somebody else.
                    self.send_replies()
                # Whoever reads gives it up when it sees this, and wakes us; unless it has just done so.
                self.idle = True
                if self.reading.acquire(False):
                    self.reading.release()
                elif not frames:
                    thread.lock.acquire()
                self.idle = False
                if self.closing and not frames:
                    raise Closed
            if inner:
                self.check_interrupt()

    def route(self, frame, inner):
        """Gives a frame to whom it is for; gives it back if that is the main thread, which has read it (`inner` as there)."""
        kind, flags, tag, number, within, parts = frame
        mine = inner is not None
        main = self.main
        if kind == CALL:
            if flags & APART:
                self.give_apart(frame)
                return None
            thread = self.waiting.get(within) if within else self.workers.get(tag)
            if within and thread is not None:
                if mine and inner and thread is main:
                    return frame
                thread.inner.append(frame)
                thread.wake()
            elif thread is not None or mine and inner and tag != main.tag or not mine and not self.idle and tag != main.tag:
                self.give_worker(tag, frame)
            elif mine and not inner:
                return frame
            else:
                main.frames.append((kind, flags & WANT, tag, number, within, parts))
                main.wake()
        elif kind == RETURN or kind == RAISE:
            thread = self.waiting.get(number)
            if thread is not None:
                if mine and inner and thread is main:
                    return frame
                thread.inner.append(frame)
                thread.wake()
        elif kind == CANCEL:
            self.cancel(number)
        elif kind == DROP:
            gone = self.drop(parts[0])
            if gone and mine:
                self.destroy(gone)
            elif gone:
                # Destructors may wait, or call back: not who reads.
                start_new_thread(gone.clear, ())
        return None

    def destroy(self, gone):
        """Runs destructors on the main thread. Between calls, what comes meanwhile does not wait for them."""
        was_busy, tag = self.busy, self.main.tag
        if not was_busy:
            self.main.tag = 0
            self.busy = True
            if self.is_parked:
                self.unpark()
        gone.clear()
        if not was_busy:
            self.busy = False
            self.main.tag = tag

    def drop(self, numbers):
        """Lets go of objects; returns those that nobody else may hold."""
        gone = []
        with self.table:
            for number in numbers:
                entry = self.objects[number]
                entry[1] -= 1
                if not entry[1]:
                    del self.objects[number]
                    del self.handles[id(entry[0])]
                    gone.append(entry)
        return gone

    def read_slowly(self, data, count):
        """At the end, or where somebody has made the channel non-blocking."""
        chunks = [data or b'']
        have = len(chunks[0])
        ended = data == b''
        while have < count:
            if ended:
                raise Closed
            select.select([self.source], [], [])
            more = self.reader.read(count - have)
            ended = more == b''
            if more:
                chunks.append(more)
                have += len(more)
        return b''.join(chunks)

    def resolved(self, parts):
        """What was sent as references, put in their places."""
        things = deque()
        for kind, number in parts[-1]:
            if kind == OF_AGENT:
                things.append(self.objects[number][0])
            elif kind == OF_CLIENT:
                things.append(self.callback(number))
            else:
                things.append(self.read(number))

        def put(o):
            if o is StopIteration:
                return things.popleft()
            kind = type(o)
            if kind is tuple:
                return tuple([put(item) for item in o])
            if kind is list:
                return [put(item) for item in o]
            if kind is dict:
                return {put(key): put(value) for key, value in o.items()}
            return o

        return put(parts[:-1]) + ((),)

    def callback(self, number):
        found = self.callbacks.get(number)
        found = found and found()
        if found is None:
            found = Callback(self, number)
            self.callbacks[number] = _weakref.ref(found)
        found.count += 1
        return found

    def give_worker(self, tag, frame):
        with self.spawning:
            thread = self.workers.get(tag)
            if thread is None:
                thread = self.workers[tag] = Thread(tag)
                start_new_thread(self.work, (thread,))
            thread.frames.append(frame)
        thread.wake()

    def work(self, thread):
        """A thread for the calls of one of the client's threads, as long as they come."""
        import_threading(self)
        thread.ident = get_ident()
        self.by_ident[thread.ident] = thread
        try:
            while True:
                frame = self.next(thread, False)
                if frame is None:
                    with self.spawning:
                        if thread.frames:
                            continue
                        del self.workers[thread.tag]
                        return
                box = [frame]
                frame = None
                self.execute(box, thread)
        except Closed:
            pass
        finally:
            with self.spawning:
                if self.workers.get(thread.tag) is thread:
                    # Whatever has ended it: what is left is another one's.
                    del self.workers[thread.tag]
                    while thread.frames and not self.closing:
                        self.give_worker(thread.tag, thread.frames.popleft())
            self.by_ident.pop(thread.ident, None)

    def give_apart(self, frame):
        kind, flags, tag, number, within, parts = frame
        frame = kind, flags & ~APART, tag, number, within, parts
        with self.spawning:
            if self.spare:
                thread = self.spare.pop()
            else:
                thread = Thread(0)
                self.apart.append(thread)
                start_new_thread(self.work_apart, (thread,))
            thread.frames.append(frame)
        thread.wake()

    def work_apart(self, thread):
        """A thread for calls that may wait for long, one at a time."""
        import_threading(self)
        thread.ident = get_ident()
        self.by_ident[thread.ident] = thread
        try:
            while True:
                frame = self.next(thread, False)
                if frame is None:
                    with self.spawning:
                        if thread.frames:
                            continue
                        self.spare.remove(thread)
                        self.apart.remove(thread)
                        return
                box = [frame]
                frame = None
                self.execute(box, thread)
                with self.spawning:
                    self.spare.append(thread)
        except Closed:
            pass
        finally:
            self.by_ident.pop(thread.ident, None)

    def hold(self, thing):
        """What is to be ended when the client is gone, if it still exists then."""
        import weakref

        with self.spawning:
            self.held = self.held or weakref.WeakSet()
            self.held.add(thing)

    def put_away(self):
        """The client has left this open."""
        held = list(self.held)
        for thing in held:
            thing.end()
        for thing in held:
            thing.reap()

    def batch(self, result, want):
        items, it = result
        refs = []
        if want == OBJECT:
            refs = [self.reference(item) for item in items]
            items = [StopIteration] * len(items)
        elif want == NOTHING:
            items = [None] * len(items)
        if it is not None:
            it = StopIteration
        try:
            if want != VALUE:
                raise ValueError
            return dumps(((items, it), (self.reference(result[1]),) if it else ()), FORMAT)
        except ValueError:
            if want == VALUE:
                items = [plain(item, refs, self, 1) for item in items]
            if it:
                refs.append(self.reference(result[1]))
            return dumps(((items, it), tuple(refs)), FORMAT)

    def failed(self, error):
        try:
            return dumps((described(error), ()), FORMAT)
        except BaseException as other:
            name = full_name(type(error))
            text = 'no description: ' + full_name(type(other))
            return dumps(((name, (name,), (), text, '%s: %s\n' % (name, text)), ()), FORMAT)

    def call_back(self, callback, args, kwargs):
        """Calls a function of the client's, and does what that asks for meanwhile."""
        if self.is_child:
            raise Error('the client is not to be had in a forked child')
        frame = sys._getframe(2)
        while frame is not None and frame.f_globals is not GLOBALS:
            frame = frame.f_back
        if frame is not None and frame.f_code in self.in_the_middle():
            # A destructor has come in the middle of a frame, and nobody would read the answer.
            start_new_thread(self.call_back_quietly, (callback, args, kwargs))
            return None
        thread = self.by_ident.get(get_ident())
        if thread is None:
            thread = self.by_ident[get_ident()] = Thread(0, get_ident())
        headroom(40)
        refs = []
        if callback.number & 1:
            refs = [self.reference(arg) for arg in args] + [self.reference(arg) for arg in kwargs.values()]
            args = (StopIteration,) * len(args)
            kwargs = dict.fromkeys(kwargs, StopIteration)
        else:
            args = plain(args, refs, self, 0)
            kwargs = plain(kwargs, refs, self, 0)
        payload = dumps((callback.number, args, kwargs, tuple(refs)), FORMAT)
        with self.spawning:
            self.numbers = number = self.numbers + 1 & 0xFFFFFFFF or 1
        self.waiting[number] = thread
        try:
            if self.replies:
                self.send_replies()
            if self.streams:
                self.flush()
            self.send(CALLBACK, 0, thread.tag, number, thread.calls[-1] if thread.calls else 0, payload)
            while True:
                frame = self.next(thread, True)
                if frame[0] == CALL:
                    tag = thread.tag
                    box = [frame]
                    frame = None
                    self.execute(box, thread)
                    thread.tag = tag
                elif frame[3] == number:
                    break
        except Closed:
            if thread.calls or thread is self.main:
                raise
            # A thread of the program's own.
            raise Error('the client is gone') from None
        finally:
            del self.waiting[number]
            if not thread.calls and thread is not self.main:
                self.by_ident.pop(thread.ident, None)
        if frame[0] == RETURN:
            return frame[5][0]
        kind, text = frame[5][:2]
        kind = BUILTINS.get(kind)
        raise (kind if isinstance(kind, type) and issubclass(kind, BaseException) else Error)(*text)

    def call_back_quietly(self, callback, args, kwargs):
        try:
            self.call_back(callback, args, kwargs)
        except (Exception, Closed):
            pass  # as of a destructor

    def in_the_middle(self):
        """What of an agent must not be waited in."""
        try:
            return self.middle
        except AttributeError:
            spaces = Agent.__dict__, Output.__dict__, Thread.__dict__
            functions = [o for space in spaces for o in space.values() if type(o) is type(find)]
            # These run the user's code on purpose.
            self.middle = {f.__code__ for f in functions} - {Agent.destroy.__code__, Agent.call_back.__code__}
            return self.middle

    def send_gone(self):
        gone = []
        while self.gone:
            gone.append(self.gone.popleft())
        self.send(DROP, 0, 0, 0, 0, dumps((tuple(gone), ()), FORMAT))

    def log(self, text):
        self.send(LOG, 0, 0, 0, 0, dumps((text, ()), FORMAT))

    def cancel(self, number):
        """Interrupts a call, or takes it out of its queue. 0 is what runs on the main thread."""
        if not number:
            if self.busy:
                self.interrupt(self.main, 0)
            return
        for thread in [self.main] + list(self.workers.values()) + list(self.apart):
            if number in thread.calls:
                self.interrupt(thread, number)
                return
            for frame in list(thread.frames):
                if frame[3] == number:
                    try:
                        thread.frames.remove(frame)
                    except ValueError:
                        continue
                    self.send(ERROR, 0, 0, number, 0, self.failed(KeyboardInterrupt('before it began')))
                    return
        # It is between its queue and its begin; or over.
        self.cancelled.append(number)

    def take_back(self, thread):
        import ctypes

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), None)

    def interrupt(self, thread, number):
        """Raises KeyboardInterrupt in what the thread does, if that still is this call; 0 is whatever it is."""
        import _signal

        if thread is self.main and self.hello:
            self.target = number
            _signal.pthread_kill(thread.ident, SIGINT)
            thread.wake()
            return
        # First, as it takes its time.
        import ctypes

        with thread.guard:
            if thread.user and not thread.hit and (not number or number in thread.calls):
                ident = ctypes.c_ulong(thread.ident)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(KeyboardInterrupt))
                thread.hit = True

    def forked(self):
        """In a forked child, which the client knows nothing of: the channel is not ours."""
        self.is_child = True
        for fd in {self.source, self.sink}:
            try:
                os.close(fd)
            except OSError:
                pass
        lock = RLock()
        for stream in self.streams:
            stream.lock = lock
            stream.pending = []
        self.sending = self.draining = lock
        self.table = RLock()

    def leave_child(self, kind, payload):
        if not self.is_child:
            self.forked()
        code = 0
        if kind == ERROR:
            name, mro, args, text, lines = loads(payload)[0]
            code = 1
            if name == 'SystemExit':
                code = args[0] if args and type(args[0]) is int else int(bool(args))
            else:
                os.write(2, lines.encode('utf-8', 'backslashreplace'))
        for stream in self.streams:
            stream.flush()
        os._exit(code & 0xFF)

    def close(self):
        """Ends this program: what runs is interrupted, and has a moment to clean up."""
        self.closing = True
        if self.busy:
            self.interrupt(self.main, 0)
        if not self.hello:
            for thread in [self.main] + list(self.workers.values()) + self.apart + list(self.waiting.values()):
                thread.wake()
            return
        if self.held:
            self.put_away()
        sleep(GRACE)
        os._exit(1)


class More:
    """What a session is seldom asked for."""

    def interact(self, source, name='<stdin>'):
        """Runs what was typed at a prompt, as the interactive interpreter does: values are shown. True: more is wanted."""
        import codeop

        code = codeop.CommandCompiler.__call__(self.compiler(), source, name, 'single')
        if code is None:
            return True
        remember(name, source)
        exec(code, self.namespace)
        return False

    def compiler(self):
        compiler = self.__dict__.get('_compiler')
        if compiler is None:
            import codeop

            compiler = self._compiler = codeop.CommandCompiler()
        return compiler

    def complete(self, text):
        """The names that the text may become."""
        import rlcompleter

        completer = rlcompleter.Completer(self.namespace)
        found = []
        while len(found) < 1000:
            name = completer.complete(text, len(found))
            if name is None:
                break
            found.append(name)
        return found

    def modules_from(self, source_of):
        """Modules that are not here are asked of the client: see `Finder`."""
        finder = third('Finder')(self.agent, source_of)
        self.agent.hold(finder)
        sys.meta_path.append(finder)

    def download(self, path):
        """A file to be read, its size in bytes, mode, and time of change in nanoseconds."""
        return third('Download')(path).described()

    def upload(self, path):
        """A file to be written."""
        return third('Upload')(self.agent, path)

    def tunnel(self, argv):
        """A process with its standard input and output."""
        return third('Child')(self.agent, argv)

    def connect(self, address, limit):
        """A socket, connected to a path or to (host, port) within `limit` seconds."""
        return third('connected')(self.agent, address, limit)

    def input_from(self, read):
        """Standard input of this program is asked of the client: `read(n)` gives bytes, none at the end."""
        import io

        class Input(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                data = read(len(buffer))
                buffer[:len(data)] = data
                return len(data)

        sys.stdin = io.TextIOWrapper(io.BufferedReader(Input()), encoding='utf-8', errors='surrogateescape')


class Batches:
    """An iterator whose items travel in batches. What can wait, or has effects, gives one item at a time."""

    EAGER = {type(iter(o)) for o in ([], (), {}, {}.keys(), {}.values(), {}.items(), set(), '', b'', bytearray(), range(0))}
    EAGER |= {type(reversed([])), type(iter(range(1 << 70)))}

    def __init__(self, o):
        self.it = iter(o)
        self.failed = None

    def __iter__(self):
        return self.it

    def __next__(self):
        return next(self.it)

    def take(self, count, asked):
        """Up to `count` items, and whether there may be more."""
        if self.failed is not None:
            failed, self.failed = self.failed, None
            raise failed
        if not asked and type(self.it) not in self.EAGER:
            count = 1
        items = []
        try:
            while len(items) < count:
                items.append(next(self.it))
        except StopIteration:
            return items, False
        except BaseException as error:
            if not items:
                raise
            self.failed = error
        return items, True


def take(o, count, asked):
    """One batch of an object or of its iterator: items, and the iterator if there may be more."""
    if type(o) is not Batches:
        o = Batches(o)
    items, more = o.take(count, asked)
    return items, o if more else None


def headroom(levels):
    """A RecursionError now, not in the middle of a frame."""
    if levels:
        headroom(levels - 1)


def open_code():
    """What of this file may be interrupted as the user's code is: it is in the middle of nothing."""
    spaces = [OPS, Session.__dict__, Batches.__dict__]
    functions = [FIRST, perform, find, attribute, take, exit_with] + [o for space in spaces for o in space.values()]
    return {function.__code__ for function in functions if type(function) is type(find)}


def import_threading(agent):
    """So that its main thread is the agent's, also when another one is the first to need it, before Python 3.13."""
    if 'threading' in sys.modules:
        return
    import threading

    main = threading._main_thread
    if agent.hello and sys.version_info < (3, 13) and main._ident == get_ident():
        with threading._active_limbo_lock:
            del threading._active[main._ident]
            main._ident = agent.main.ident
            threading._active[main._ident] = main
        if hasattr(main, '_native_id'):
            main._native_id = os.getpid()
        if hasattr(main, '_tstate_lock'):
            main._tstate_lock = allocate_lock()
            main._tstate_lock.acquire()


def exit_with(o, kind, args):
    """Leaves a context with an exception that the client met."""
    kind = BUILTINS.get(kind)
    kind = kind if isinstance(kind, type) and issubclass(kind, BaseException) else Error
    try:
        raise kind(*args)
    except BaseException as error:
        told = error
    return bool(type(o).__exit__(o, type(told), told, told.__traceback__))


class Uncopied:
    """What travels as a reference wherever it stands."""

    def __init__(self, o):
        self.o = o


def remember(name, source):
    """So that tracebacks show its lines."""
    import linecache

    if isinstance(source, str):
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    elif isinstance(source, bytes):
        from importlib.util import decode_source

        try:
            text = decode_source(source)
        except (SyntaxError, UnicodeError):
            return
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)


def described(error):
    """An exception as it travels: type, its ancestors, arguments, text, traceback."""
    import traceback

    kind = type(error)
    args = []
    for arg in error.args:
        refs = []
        try:
            copy = plain(arg, refs, None, 0)
        except Exception:
            refs.append(None)
        args.append(shown(arg) if refs else copy)
    if isinstance(error, OSError) and len(args) == 2 and error.filename is not None:
        args.append(error.filename if type(error.filename) in ATOMS else shown(error.filename))
    try:
        text = str(error)
    except Exception:
        text = '<exception str() failed>'
    try:
        told = traceback.TracebackException(kind, error, error.__traceback__)
        without_ours(told, error, isinstance(error, SyntaxError), set())
        lines = ''.join(told.format())
    except Exception as failed:
        lines = '%s: %s (no traceback: %s)\n' % (kind.__name__, text, type(failed).__name__)
    return full_name(kind), tuple(full_name(base) for base in kind.__mro__), tuple(args), text, lines


def without_ours(told, error, is_syntax, seen):
    """A traceback without the frames of this file, nor of the compiler that was asked for what it complains of."""
    if told is None or error is None or id(told) in seen:
        return
    seen.add(id(told))
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_globals is GLOBALS)
        traceback = traceback.tb_next
    # As many, if there is no limit of how many are told.
    ours = frames if len(frames) == len(told.stack) else [False] * len(told.stack)
    told.stack[:] = [
        frame
        for frame, is_ours in zip(told.stack, ours)
        if not is_ours
        and frame.filename != HIDDEN
        and not (is_syntax and os.path.basename(frame.filename) == 'codeop.py')
    ]
    without_ours(told.__cause__, error.__cause__, is_syntax, seen)
    without_ours(told.__context__, error.__context__, is_syntax, seen)


def shown(o):
    try:
        return repr(o)
    except Exception:
        return '<%s>' % type(o).__name__


def full_name(kind):
    module = kind.__module__
    return kind.__qualname__ if module in ('builtins', None) else '%s.%s' % (module, kind.__qualname__)


def plain(o, refs, agent, depth):
    """A value as marshal can write it: subclasses as what they are based on, what cannot be copied as a reference."""
    kind = type(o)
    if kind in ATOMS:
        return o
    if depth > DEPTH:
        raise ValueError('nested too deeply to be copied')
    depth += 1
    if isinstance(o, (tuple, list)):
        items = [plain(item, refs, agent, depth) for item in (tuple if isinstance(o, tuple) else list).__iter__(o)]
        return items if isinstance(o, list) else tuple(items)
    if isinstance(o, dict):
        # An object as a key would be one with all others.
        inner = []
        keys = [plain(key, inner, None, depth) for key in dict.keys(o)]
        if not inner:
            return dict(zip(keys, [plain(value, refs, agent, depth) for value in dict.values(o)]))
    elif isinstance(o, (set, frozenset)):
        inner = []
        items = [plain(item, inner, None, depth) for item in o]
        if not inner:
            return frozenset(items) if isinstance(o, frozenset) else set(items)
    elif isinstance(o, int):
        return int.__int__(o)
    elif isinstance(o, float):
        return float.__float__(o)
    elif isinstance(o, str):
        return str.__str__(o)
    elif isinstance(o, bytes):
        return b''.join((o,))
    elif isinstance(o, complex):
        return complex(o.real, o.imag)
    elif isinstance(o, (bytearray, memoryview)):
        return bytes(o)
    elif kind in (range, type({}.keys()), type({}.values()), type({}.items()), deque):
        return [plain(item, refs, agent, depth) for item in o]
    if kind is Uncopied:
        o = o.o
    refs.append((0, 0) if agent is None else agent.reference(o))
    return StopIteration


def third(name):
    return later(1, name)


OPS = dict(ops, take=take, exit_with=exit_with)
for kind, more in (Agent, Cold), (Session, More):
    for name, value in more.__dict__.items():
        if not name.startswith('__'):
            setattr(kind, name, value)


# --- Part four: files, streams, modules of the client's, serving -------------------------------------------------------

import errno
import stat
from _frozen_importlib_external import SourceFileLoader

ON_WINDOWS = sys.platform == 'win32'
# Not to wait for the other end of a fifo; as it is, where text could be meant.
FOR_READING = os.O_RDONLY | (os.O_BINARY if ON_WINDOWS else os.O_NONBLOCK)
FOR_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | (os.O_BINARY if ON_WINDOWS else 0)


def failure(code, path, text=None):
    return OSError(code, text or os.strerror(code), path)


def naming(path, do, *args):
    """Does something of which an error is to name the path that the client knows."""
    try:
        return do(*args)
    except OSError as error:
        raise failure(error.errno, path, error.strerror) from None


class Download:
    """A file that the client reads."""

    def __init__(self, path):
        self.path = path
        self.descriptor = None
        self.turn = 0
        if ON_WINDOWS and os.path.isdir(path):
            # It would be said to be forbidden.
            raise failure(errno.EISDIR, path)
        self.descriptor = os.open(path, FOR_READING)
        kind = os.fstat(self.descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise failure(errno.EISDIR, path)
        if not stat.S_ISREG(kind):
            raise failure(errno.EINVAL, path, 'Not a regular file')

    def described(self):
        info = os.fstat(self.descriptor)
        return self, info.st_size, stat.S_IMODE(info.st_mode), info.st_mtime_ns

    def real(self):
        """Its path from the root on, without links, if it still has one."""
        path = os.path.realpath(self.path)
        try:
            same = os.path.samestat(os.stat(path), os.fstat(self.descriptor))
        except OSError:
            same = False
        return path if same else None

    def read(self, turn, count):
        """The next `count` bytes; fewer at the end. Calls that come in another order than they were made would do harm."""
        if turn != self.turn:
            raise RuntimeError('out of turn')
        chunks = []
        while count:
            chunk = naming(self.path, os.read, self.descriptor, count)
            if not chunk:
                break
            chunks.append(chunk)
            count -= len(chunk)
        self.turn += 1
        return chunks[0] if len(chunks) == 1 else b''.join(chunks)

    def __del__(self):
        if self.descriptor is not None:
            os.close(self.descriptor)


SEEKING = allocate_lock()


def pwrite(descriptor, data, offset):
    """As os.pwrite, which Windows lacks."""
    with SEEKING:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


class Upload:
    """A file that the client writes, under a temporary name until it is whole."""

    def __init__(self, agent, path):
        self.path = path
        self.temporary = None
        self.other = None
        self.pid = os.getpid()
        if not path:
            raise failure(errno.ENOENT, path)
        here = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
        self.folder, name = os.path.split(here)
        self.target = here
        try:
            kind = os.stat(here).st_mode
        except FileNotFoundError:
            if not name:
                raise failure(errno.EISDIR, path) from None
        except OSError:
            pass  # a link that leads nowhere is replaced, and creating says what else is wrong
        else:
            if stat.S_ISDIR(kind):
                raise failure(errno.EISDIR, path)
            if not stat.S_ISREG(kind):
                raise failure(errno.EEXIST, path, 'Not a regular file, and so not replaced')
        name = name[:100] if ON_WINDOWS else os.fsdecode(os.fsencode(name)[:200])
        for _ in range(100):
            temporary = os.path.join(self.folder, '.%s.thither-%s' % (name, os.urandom(4).hex()))
            try:
                self.descriptor = naming(path, os.open, temporary, FOR_WRITING, 0o600)
                break
            except FileExistsError:
                pass
        else:
            raise failure(errno.EEXIST, path, 'No free name beside it')
        self.temporary = temporary
        agent.hold(self)

    pwrite = staticmethod(getattr(os, 'pwrite', None) or pwrite)

    def write(self, data, offset):
        view = memoryview(data)
        while view:
            written = naming(self.path, self.pwrite, self.descriptor, view, offset)
            view = view[written:]
            offset += written

    def beside(self):
        """Its path without links, and a name in the same folder for another way to bring the content; None if it might stay."""
        folder = os.path.realpath(self.folder)
        info = os.stat(folder)
        # There only its owner can remove what another user has put there.
        if info.st_mode & stat.S_ISVTX and os.geteuid() not in (0, info.st_uid):
            return None
        self.other = os.path.join(folder, '.thither-' + os.urandom(8).hex())
        return os.path.join(folder, os.path.basename(self.temporary)), self.other

    def adopt(self, size):
        """Whether the content has come to the other name as it would have been written here; then it is taken."""
        try:
            descriptor = os.open(self.other, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            self.discard()
            return False
        theirs, ours = os.fstat(descriptor), os.fstat(self.descriptor)
        same = all(getattr(theirs, name) == getattr(ours, name) for name in ('st_dev', 'st_uid', 'st_gid', 'st_nlink'))
        if not same or not stat.S_ISREG(theirs.st_mode) or theirs.st_size != size:
            os.close(descriptor)
            self.discard()
            return False
        os.close(self.descriptor)
        self.descriptor = descriptor
        naming(self.path, os.replace, self.other, self.temporary)
        self.other = None
        return True

    def discard(self):
        other, self.other = self.other, None
        if other is not None:
            try:
                os.unlink(other)
            except OSError:
                pass  # as a rule it is not there

    def finish(self, size, mode, changed):
        """Gives it its name. Its content is on the disk before."""
        descriptor = self.descriptor
        if os.fstat(descriptor).st_size != size:
            raise failure(errno.EIO, self.path, 'Not all of it has arrived')
        if ON_WINDOWS:
            return self.finish_on_windows(changed)
        naming(self.path, os.fchmod, descriptor, mode & 0o777)
        naming(self.path, lambda: os.utime(descriptor, ns=(os.fstat(descriptor).st_atime_ns, changed)))
        naming(self.path, os.fsync, descriptor)
        naming(self.path, os.replace, self.temporary, self.target)
        self.temporary = None
        os.close(descriptor)
        try:
            folder = os.open(self.folder, os.O_RDONLY)
        except OSError:
            return  # it may be written, and not read
        try:
            os.fsync(folder)
        except OSError:
            pass  # some file systems refuse
        finally:
            os.close(folder)

    def finish_on_windows(self, changed):
        """There a file has no mode, and no new name while it is open."""
        naming(self.path, os.fsync, self.descriptor)
        temporary, self.temporary = self.temporary, None
        os.close(self.descriptor)
        try:
            naming(self.path, lambda: os.utime(temporary, ns=(changed, changed)))
            naming(self.path, os.replace, temporary, self.target)
        except BaseException:
            os.unlink(temporary)
            raise

    def end(self):
        temporary, self.temporary = self.temporary, None
        if temporary is not None:
            os.close(self.descriptor)
            try:
                # In a forked child it is the parent's.
                if os.getpid() == self.pid:
                    self.discard()
                    os.unlink(temporary)
            except OSError:
                pass

    def reap(self):
        pass

    __del__ = end


class Half:
    """A descriptor that the threads of one direction use; it is closed once none of them does."""

    def __init__(self, descriptor):
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.lock = allocate_lock()
        self.users = 0
        self.ended = False

    def __enter__(self):
        with self.lock:
            if self.ended:
                raise failure(errno.EPIPE, None, 'It was closed')
            self.users += 1
            return self.descriptor

    def __exit__(self, *_):
        with self.lock:
            self.users -= 1
            self.sweep()

    def end(self):
        with self.lock:
            self.ended = True
            self.sweep()

    def sweep(self):
        if self.ended and not self.users and self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)


class Flow:
    """A stream that the client reads and writes."""

    def __init__(self, agent, source, sink):
        # At its end once the stream is closed: that ends the waits.
        try:
            self.stop, self.waker = os.pipe()
        except OSError:
            os.close(source)
            os.close(sink)
            raise
        self.source, self.sink = Half(source), Half(sink)
        self.lock = allocate_lock()
        agent.hold(self)

    def wait(self, descriptor, event, limit):
        poller = select.poll()
        poller.register(descriptor, event)
        poller.register(self.stop, select.POLLIN)
        ready = poller.poll(None if limit is None else max(limit * 1000, 1))
        if not ready:
            raise failure(errno.ETIMEDOUT, None)
        if self.waker is None:
            raise failure(errno.EPIPE, None, 'It was closed')

    def read(self, count, limit):
        """Some bytes, none at the end; it may take `limit` seconds."""
        with self.source as descriptor:
            while True:
                try:
                    return os.read(descriptor, count)
                except BlockingIOError:
                    self.wait(descriptor, select.POLLIN, limit)

    def write(self, data, limit):
        """How many bytes went within `limit` seconds: all, if there was no such limit."""
        written = 0
        view = memoryview(data)
        with self.sink as descriptor:
            while written < len(view):
                try:
                    written += os.write(descriptor, view[written:])
                except BlockingIOError:
                    try:
                        self.wait(descriptor, select.POLLOUT, limit)
                    except TimeoutError:
                        if written:
                            break
                        raise
        return written

    def end_reading(self):
        self.source.end()

    def end_writing(self):
        self.sink.end()

    def end(self):
        """Closes it, without waiting."""
        with self.lock:
            waker, self.waker = self.waker, None
        if waker is not None:
            os.close(waker)
        self.source.end()
        self.sink.end()

    def close(self):
        self.end()
        self.reap()

    def reap(self):
        pass

    def __del__(self):
        if hasattr(self, 'lock'):
            self.end()
            os.close(self.stop)


def connected(agent, address, limit):
    """A socket, connected."""
    import socket

    name = address if isinstance(address, str) else '%s:%s' % tuple(address)
    try:
        if isinstance(address, str):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(limit)
            connection.connect(address)
        else:
            connection = socket.create_connection(tuple(address), limit)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except socket.timeout:
        raise failure(errno.ETIMEDOUT, name) from None
    except OSError as error:
        error.filename = name
        raise
    return Socket(agent, connection.detach())


class Socket(Flow):
    def __init__(self, agent, descriptor):
        Flow.__init__(self, agent, descriptor, os.dup(descriptor))

    def shutdown(self, how):
        """0 for reading, 1 for writing, 2 for both."""
        import socket

        with self.source as descriptor:
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                connection.shutdown(how)


class Child(Flow):
    """A process over there, by its standard input and output."""

    def __init__(self, agent, argv):
        import subprocess

        descriptors = os.pipe() + os.pipe()
        theirs_in, sink, source, theirs_out = descriptors
        try:
            self.process = subprocess.Popen(argv, stdin=theirs_in, stdout=theirs_out)
        except BaseException:
            os.close(sink)
            os.close(source)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        Flow.__init__(self, agent, source, sink)

    def exited(self, limit):
        """Its exit code, negative for a signal; None if it goes on for `limit` seconds."""
        import subprocess

        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            return None

    def reap(self, limit=GRACE / 2):
        """It has seen the end of its input; what does not heed that is ended."""
        for end in self.process.terminate, self.process.kill:
            if self.exited(limit) is not None:
                return
            end()
        self.process.wait()

    def __del__(self):
        Flow.__del__(self)
        if hasattr(self, 'lock') and self.process.poll() is None:
            # Not in a thread that waits for other things.
            start_new_thread(Child.reap, (Process(self.process),))


class Process:
    """What is left of a child."""

    exited = Child.exited

    def __init__(self, process):
        self.process = process


class Finder:
    """Modules that are not here are asked of the client.

    `source_of(name)` gives None, or source and file of a module and whether it is a package; no source for a folder that is
    one without `__init__`.
    """

    def __init__(self, agent, source_of):
        self.agent = agent
        self.source_of = source_of

    def find_spec(self, name, path=None, target=None):
        if self.agent.closing or self.agent.is_child:
            return None
        try:
            found = self.source_of(name)
        except Closed:
            return None
        if found is None:
            return None
        from importlib.machinery import ModuleSpec

        source, file, is_package = found
        if source is None:
            spec = ModuleSpec(name, None, is_package=True)
        else:
            spec = ModuleSpec(name, Loader(name, file, source, is_package), origin=file, is_package=is_package)
            spec.has_location = True
        return spec

    def end(self):
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def reap(self):
        pass


class Loader(SourceFileLoader):
    """As of a file that is here, so that tracebacks look alike."""

    def __init__(self, name, file, source, is_package):
        SourceFileLoader.__init__(self, name, file)
        self.source = source
        self.package = is_package

    def is_package(self, name):
        return self.package

    def get_data(self, path):
        if path == self.path:
            return self.source
        raise failure(errno.ENOENT, path)

    def get_code(self, name):
        remember(self.path, self.source)
        return compile(self.source, self.path, 'exec', dont_inherit=True)


class Divided(io.TextIOBase):
    """Standard output or error of several: what a thread of a client's calls prints goes to that client, and all else to where
    it went before."""

    encoding = 'utf-8'

    def __init__(self, fd, old, errors):
        self.fd = fd
        self.old = old
        self.failing = errors

    @property
    def errors(self):
        return self.failing

    def writable(self):
        return True

    def fileno(self):
        return self.old.fileno()

    def flush(self):
        self.old.flush()

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError('write() argument must be str, not %s' % type(text).__name__)
        agent = agent_of(get_ident())
        if agent is None:
            return self.old.write(text)
        data = text.encode(self.encoding, self.failing)
        try:
            for start in range(0, len(data), CHUNK):
                agent.send(OUTPUT, self.fd, 0, 0, 0, data[start : start + CHUNK])
        except Closed:
            pass  # its client is gone, and so is the reader
        return len(text)


def agent_of(ident):
    """The agent that has a call of its client on this thread."""
    for known in AGENTS:
        agent = known()
        if agent is None or agent.closing:
            continue
        if agent.ident == ident or any(thread.ident == ident for thread in list(agent.workers.values()) + agent.apart):
            return agent
    return None


def serve(address, token, namespace=None, limit=10, ready=None, output=False):
    """Serves clients from within a program of yours, each on a thread of its own, until an exception ends it.

    `address` is the path of a Unix socket, made with mode 0600, or (host, port) of loopback; `token` is the secret, bytes
    of at least 16, that a client must send first, within `limit` seconds. `namespace` is where its code runs; a new one
    for each if None. `ready` is called with the address once it can be reached, for a port that was 0. With `output` what a client's
    code prints by `sys.stdout` and `sys.stderr` goes to the client; else it is the program's own.
    """
    import socket

    if not isinstance(token, (bytes, bytearray)):
        raise TypeError('a token is bytes')
    if len(token) < 16:
        raise ValueError('a token of at least 16 bytes is wanted')
    listener = listening(address)
    path = address if isinstance(address, (str, bytes)) else None
    if output:
        sys.stdout, sys.stderr = Divided(1, sys.stdout, 'surrogateescape'), Divided(2, sys.stderr, 'backslashreplace')
    waiting = [0]
    lock = allocate_lock()
    try:
        if ready is not None:
            ready(listener.getsockname())
        while True:
            try:
                client = listener.accept()[0]
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    sleep(0.1)
                elif error.errno not in (errno.ECONNABORTED, errno.EINTR):
                    raise
                continue
            with lock:
                full = waiting[0] >= STRANGERS
                waiting[0] += not full
            try:
                if full:
                    raise RuntimeError
                start_new_thread(welcome, (client, bytes(token), namespace, limit, waiting, lock))
            except RuntimeError:
                client.close()
                if not full:
                    with lock:
                        waiting[0] -= 1
    finally:
        listener.close()
        if path is not None:
            try:
                os.unlink(path)
            except OSError:
                pass


# How many may be connected who have not yet shown the token.
STRANGERS = 64


def listening(address):
    """A listening socket of this machine's users alone, or of its own user alone."""
    import ipaddress
    import socket

    if isinstance(address, (str, bytes)):
        if address[:1] in ('', b'', '\0', b'\0'):
            raise ValueError('a socket without a file is open to everybody')
        listener = socket.socket(socket.AF_UNIX)
        try:
            remove_stale(address)
            listener.bind(address)
            # Nobody can connect before it listens.
            os.chmod(address, 0o600)
            listener.listen(64)
        except BaseException:
            listener.close()
            raise
        return listener
    host, port = address
    host = ipaddress.ip_address('127.0.0.1' if host == 'localhost' else host)
    if not host.is_loopback:
        raise ValueError('%s is not loopback' % host)
    listener = socket.socket(socket.AF_INET if host.version == 4 else socket.AF_INET6)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(host), port))
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


def remove_stale(path):
    """A socket that a program left when it was killed."""
    import socket

    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        pass


def admitted(line, token):
    """The marker to answer with, if the line shows the token: in hexadecimal, a space, and the marker. In constant time."""
    from hmac import compare_digest

    given, space, marker = line.rstrip(b'\n').partition(b' ')
    right = compare_digest(given, token.hex().encode('ascii'))
    return marker if right and len(marker) == 32 else None


def first_line(client, limit):
    """What a client sends first, if it does within `limit` seconds in all."""
    from time import monotonic

    end = monotonic() + limit
    line = b''
    while not line.endswith(b'\n'):
        left = end - monotonic()
        if left <= 0 or len(line) >= 4096 or b'\n' in line:
            return None
        client.settimeout(left)
        more = client.recv(4096 - len(line))
        if not more:
            return None
        line += more
    return line


def welcome(client, token, namespace, limit, waiting, lock):
    try:
        try:
            line = first_line(client, limit)
            marker = line and admitted(line, token)
        except OSError:
            marker = None
        finally:
            with lock:
                waiting[0] -= 1
        if marker:
            client.settimeout(None)
            attend(client, marker, {} if namespace is None else namespace)
    except (Closed, KeyboardInterrupt):
        pass  # it was interrupted since the client is gone
    except Exception:
        pass  # what was sent is no frame
    finally:
        client.close()


def attend(client, marker, namespace):
    """Serves a client on this thread until it is gone, and puts away what was its own."""
    import socket

    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    agent = Agent(client.fileno(), client.fileno(), namespace, False)
    ripen(agent)
    with LOADING:
        if not AGENTS and hasattr(os, 'register_at_fork'):
            os.register_at_fork(after_in_child=forked)
        AGENTS[:] = [known for known in AGENTS if known() is not None] + [_weakref.ref(agent)]
    try:
        agent.write(marker)
        info = (sys.version, tuple(sys.version_info[:3]), agent.pid, sys.platform, sys.executable or '', sys.byteorder)
        agent.send(HELLO, VERSION, 0, 0, 0, dumps((info, ()), FORMAT))
        start_new_thread(agent.keep_watch, (0,))
        agent.serve(None)
    finally:
        agent.closing = True
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        agent.unpark()
        # Whoever reads has seen the end, and reads from no descriptor of somebody else's later.
        with agent.reading:
            agent.source = agent.sink = -1
        for thread in list(agent.workers.values()) + agent.apart:
            thread.wake()
        if agent.held:
            agent.put_away()
        agent.objects.clear()
        agent.handles.clear()


# --- Windows: no poll, no non-blocking pipes, no signals to a thread


class Windows:
    """What an agent does there in another way."""

    def capture(self):
        import _winapi
        import msvcrt

        self.streams = []
        self.sources = {}
        for fd, errors in (1, 'surrogateescape'), (2, 'backslashreplace'):
            source, sink = _winapi.CreatePipe(None, 1 << 20)
            sink = msvcrt.open_osfhandle(sink, os.O_BINARY)
            os.dup2(sink, fd)
            os.close(sink)
            self.sources[source] = fd
            self.streams.append(Output(self, fd))
            # Not the code page of a console that is not there.
            yield _io.TextIOWrapper(self.streams[-1], 'utf-8', errors, newline='\n', write_through=True)

    def relay(self, waiter):
        # A read would hold up whoever looks whether there is something. So we look: often while there is.
        pause = TICK
        try:
            while self.sources:
                sleep(pause)
                pause = TICK / 10 if self.drain() else min(2 * pause, 5 * TICK)
        except Closed:
            pass

    def drain(self):
        """Sends what is in the pipes, and says whether there was something."""
        import _winapi

        found = False
        with self.draining:
            for source, fd in list(self.sources.items()):
                try:
                    while True:
                        count = _winapi.PeekNamedPipe(source, 0)[0]
                        if not count:
                            break
                        found = True
                        self.send(OUTPUT, fd, 0, 0, 0, _winapi.ReadFile(source, min(count, CHUNK))[0])
                except OSError:
                    # Every copy of the other end was closed.
                    del self.sources[source]
                    _winapi.CloseHandle(source)
        return found

    def interrupt(self, thread, number):
        if thread is not self.main or not self.hello:
            return INTERRUPT(self, thread, number)
        import _signal

        self.target = number
        if hasattr(_signal, 'raise_signal'):
            # Ends a sleep of the main thread, too.
            _signal.raise_signal(SIGINT)
        else:
            import _thread

            _thread.interrupt_main()
        thread.wake()


INTERRUPT = Agent.interrupt


class WindowsSession:
    def tunnel(self, argv):
        raise failure(errno.ENOSYS, None, 'Processes with streams are not to be had on Windows')

    def connect(self, address, limit):
        raise failure(errno.ENOSYS, None, 'Sockets are not to be had on Windows')


def main_on_windows(logs):
    """As `main`; all parts are there."""
    import msvcrt
    import threading  # noqa: F401: here, as this is the main thread

    source, sink = os.dup(0), os.dup(1)
    for descriptor in source, sink:
        msvcrt.setmode(descriptor, os.O_BINARY)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.modules['__main__'] = module = type(sys)('__main__')
    module.__builtins__ = sys.modules['builtins']
    sys.argv[:] = ['']
    sys.dont_write_bytecode = True
    for kind, more in (Agent, Windows), (Session, WindowsSession):
        for name, value in more.__dict__.items():
            if not name.startswith('__'):
                setattr(kind, name, value)
    agent = Agent(source, sink, module.__dict__, logs)
    AGENTS.append(lambda: agent)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = list(agent.capture())
    ripen(agent)
    if _signal.getsignal(2) in (_signal.default_int_handler, _signal.SIG_IGN):
        _signal.signal(2, agent.on_interrupt)
    start_new_thread(agent.keep_watch, (0,))
    agent.serve(None)
    start_new_thread(lambda: (sleep(GRACE), os._exit(0)), ())
