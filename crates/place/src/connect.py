import os, socket, sys, threading
host, port = sys.argv[1:]
try:
    if host:
        s = socket.create_connection((host, int(port)), 20)
        s.settimeout(None)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.connect(port)
except Exception as error:
    sys.exit(str(error))
def up():
    try:
        while True:
            data = os.read(0, 65536)
            if not data:
                break
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
t = threading.Thread(target=up)
t.daemon = True
t.start()
def out(data):
    while data:
        data = data[os.write(1, data):]
try:
    out(b"+")
    while True:
        data = s.recv(65536)
        if not data:
            break
        out(data)
except OSError:
    pass
os._exit(0)
