import os, sys
if sys.version_info < (3, 6):
    sys.exit('thither: Python %d.%d is too old, 3.6 is wanted' % sys.version_info[:2])
def r(n):
    b = b''
    while len(b) < n:
        try:
            c = os.read(0, n - len(b))
        except BlockingIOError:
            import select
            select.select([0], [], [])
            continue
        if not c:
            sys.exit('thither: the agent did not arrive')
        b += c
    return b
h = r(64)
s = r(int(h[32:48])).split(b'\n# --- The second part', 1)
m = type(sys)('thither_agent')
sys.modules[m.__name__] = m
m.SECOND = b'#' + s[1]
exec(compile(s[0], '<thither>', 'exec', 0, True), m.__dict__)
m.main(h[:32], h[48:49] == b'1')
