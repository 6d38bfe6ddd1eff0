# Runs a script that is not here. Arguments: N, N pieces of it in base64, its name, its own arguments.
def run():
    import sys
    if sys.version_info < (3, 6):
        sys.exit("thither: Python %d.%d is too old for a script of another machine: it takes 3.6" % sys.version_info[:2])
    import binascii
    import io
    import os

    names = sys.modules["__main__"].__dict__
    del names["run"]
    last = 2 + int(sys.argv[1])
    source = binascii.a2b_base64("".join(sys.argv[2:last]))
    del sys.argv[:last]
    name = sys.argv[0]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[1:] = sys.argv
    real_open = io.open

    def text():
        try:
            return sys.modules["_frozen_importlib_external"].decode_source(source)
        except (LookupError, SyntaxError, UnicodeError):
            return source.decode("latin-1")

    def remember(linecache):
        # Python 3.13 has the lines of this file there, for whatever else is called so.
        linecache.cache.pop("<string>", None)
        linecache.cache[name] = len(source), None, text().splitlines(True), name

    # What inspect asks whether there is a source.
    class Loader(object):
        def get_source(self, fullname):
            return text()

    # Gives the lines to linecache, which takes long to import, when somebody else imports it.
    class Finder(object):
        def find_spec(self, fullname, path=None, target=None):
            if fullname != "linecache":
                return None
            sys.meta_path.remove(self)
            for finder in sys.meta_path:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    self.loader, spec.loader = spec.loader, self
                    return spec

        def create_module(self, spec):
            return self.loader.create_module(spec)

        def exec_module(self, module):
            module.__loader__ = module.__spec__.loader = self.loader
            self.loader.exec_module(module)
            remember(module)

    class File(io.BytesIO):
        def fileno(self):
            return os.open(os.devnull, os.O_RDONLY)

    # The interpreter itself, up to Python 3.12, opens a file by io.open to show a line of it.
    def opened(file, *args, **kwargs):
        return File(text().encode("utf-8", "replace")) if file == name else real_open(file, *args, **kwargs)

    # Shows an exception without the frames of this file.
    def show(kind, error, trace):
        sys.excepthook = hook
        while trace and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next
        sys.last_traceback = error.__traceback__ = trace
        io.open = opened
        try:
            hook(kind, error, trace)
        finally:
            io.open = real_open

    names.update(__file__=name, __cached__=None, __loader__=Loader())
    if "linecache" in sys.modules:
        remember(sys.modules["linecache"])
    else:
        sys.meta_path.insert(0, Finder())
    try:
        io.open = opened
        try:
            code = compile(source, name, "exec")
        except SyntaxError as error:
            if error.text is None and error.lineno:
                error.text = "".join(text().splitlines(True)[error.lineno - 1:][:1]) or None
            raise
        finally:
            io.open = real_open
        exec(code, names)
    except SystemExit:
        raise
    except BaseException:
        # Now: evaluating a text, as this does, would make the interpreter forget a KeyboardInterrupt that it ends by.
        import linecache
        hook = getattr(sys, "excepthook", None)
        if callable(hook):
            sys.excepthook = show
        raise


run()
