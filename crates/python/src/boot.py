import marshal, os, sys
if sys.version_info < (3, 6):
    sys.exit('thither: Python %d.%d is too old, 3.6 is wanted' % sys.version_info[:2])
def r(f, n):
    b = b''
    while len(b) < n:
        try:
            c = os.read(f, n - len(b))
        except BlockingIOError:
            import select
            select.select([f], [], [])
            continue
        if not c:
            break
        b += c
    return b
h = r(0, 64)
n = h[32:48]
s = r(0, int(n or 0))
if not n or len(s) < int(n):
    sys.exit('thither: the agent did not arrive')
i = sys.version, tuple(sys.version_info[:3]), os.getpid(), sys.platform, sys.executable or '', sys.byteorder
i = marshal.dumps((i, ()), 2)
i = h[:32] + len(i).to_bytes(4, 'little') + b'\x0a\x01' + bytes(10) + i
while i:
    try:
        i = i[os.write(1, i):]
    except BlockingIOError:
        import select
        select.select([], [1], [])
m = type(sys)('thither_agent')
sys.modules[m.__name__] = m
i = s.index(b'\n# --- Part ')
m.PARTS = s[i + 12:]
exec(s[:i], m.__dict__)
m.main(h[48:49] == b'1', r)
