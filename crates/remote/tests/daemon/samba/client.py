"""A client of a pipe by SMB: PORT USER PASSWORD PIPE. Sends standard input, and prints what comes up to the last frame."""
import sys

from impacket.smb3structs import FILE_READ_DATA, FILE_WRITE_DATA, READ_CONTROL, SYNCHRONIZE
from impacket.smbconnection import SMBConnection

port, user, password, pipe = sys.argv[1:]
connection = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=int(port), timeout=15)
connection.login(user, password)
tree = connection.connectTree("IPC$")
access = FILE_READ_DATA | FILE_WRITE_DATA | READ_CONTROL | SYNCHRONIZE
opened = connection.openFile(tree, pipe, desiredAccess=access, creationOption=0)
server = connection.getSMBServer()


def exactly(count):
    data = b""
    while len(data) < count:
        data += server.read(tree, opened, 0, count - len(data))
    return data


said = sys.stdin.buffer.read()
server.write(tree, opened, said, 0, len(said))
while True:
    head = exactly(5)
    sys.stdout.buffer.write(head + exactly(int.from_bytes(head[1:], "big")))
    sys.stdout.buffer.flush()
    # Refused and Exited.
    if head[0] in (0x83, 0x88):
        break
connection.close()
