# Python's own prompt, by `-i -c`. It would write the lines that are typed to a file: here it does not.
def run():
    import atexit
    import os
    import sys

    names = sys.modules["__main__"].__dict__
    del names["run"]
    sys.argv[:] = [""]
    hook = getattr(sys, "__interactivehook__", None)

    # The hook of site.py registers the writing of the file to be done at the end.
    def without_history():
        register = atexit.register
        atexit.register = lambda function, *args, **kwargs: function
        try:
            hook()
        finally:
            atexit.register = register

    if hook:
        sys.__interactivehook__ = without_history
    # What has its own prompt, from Python 3.13 on, may also add each line to the file at once.
    if sys.version_info >= (3, 13):
        os.environ.setdefault("PYTHON_HISTORY", os.devnull)
    sys.stderr.write('Python %s on %s\nType "help", "copyright", "credits" or "license" for more information.\n'
                     % (sys.version, sys.platform))
    startup = os.environ.get("PYTHONSTARTUP")
    if startup:
        try:
            with open(startup, "rb") as file:
                exec(compile(file.read(), startup, "exec"), names)
        except Exception:
            import traceback
            traceback.print_exc()


run()
