"""A service manager of Windows behind a pipe of Samba's, with services that are in memory alone.

The calls are decoded and the answers encoded by impacket, which knows them independently of thither.

services.py SOCKET: listens there, and says so in a line. From then on each line of standard input is an object of JSON, and is
answered by a line with the services, the calls so far (number and arguments) and what was wrong with any:
{"fail": {"12": 5, "19": "drop", "2": "fault"}}: calls of these numbers end with this code, with the end of the connection once they
are done, or with a fault; {"fragment": 32}: the longest fragment of either side; {"crash": true}: what is started stops by
itself; {"slow": true}: what is started never runs; {"services": {...}}: such that are there. An empty object changes nothing. The end of standard input is the end.
"""

import json
import os
import socket
import struct
import sys
import threading
import traceback

from impacket.dcerpc.v5 import scmr
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.rpcrt import (
    MSRPC_BIND, MSRPC_BINDACK, MSRPC_FAULT, MSRPC_REQUEST, MSRPC_RESPONSE, CtxItem, CtxItemResult,
    MSRPCBind, MSRPCBindAck, MSRPCHeader, MSRPCRequestHeader, MSRPCRespHeader)
from impacket.uuid import uuidtup_to_bin

NDR = uuidtup_to_bin(("8a885d04-1ceb-11c9-9fe8-08002b104860", "2.0"))
FIRST, LAST = 1, 2
STOPPED, START_PENDING, STOP_PENDING, RUNNING = 1, 2, 3, 4
NONE, EXISTS, RUNS, RESTS = 1060, 1073, 1056, 1062
UNKNOWN_INTERFACE = 0x1C010003

lock = threading.Lock()
services = {}
calls = []
wrong = []
told = {"fail": {}, "fragment": 4280, "crash": False, "slow": False}


class Drop(Exception):
    """The connection is to end."""


def exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise Drop
        data += part
    return data


def admit(stream):
    """Samba's handshake: librpc/idl/named_pipe_auth.idl."""
    length, = struct.unpack(">I", exactly(stream, 4))
    request = exactly(stream, length)
    assert request[:4] == b"NPAM"
    level = request[4:8]
    reply = b"NPAM" + level + level + struct.pack("<HH", 1, 0xFF)
    reply += bytes(-(len(reply) + 4) % 8) + struct.pack("<QI", 4096, 0)
    stream.sendall(struct.pack(">I", len(reply)) + reply)


def fragment(stream):
    head = exactly(stream, 16)
    length = MSRPCHeader(head + bytes(16))["frag_len"]
    assert length <= 4280
    return head + exactly(stream, length - 16)


def serve(stream):
    handles = {}
    arguments = b""
    try:
        admit(stream)
        while True:
            data = fragment(stream)
            head = MSRPCHeader(data)
            if head["type"] == MSRPC_BIND:
                stream.sendall(bound(head))
                continue
            request = MSRPCRequestHeader(data)
            assert head["type"] == MSRPC_REQUEST
            assert bool(arguments) != bool(head["flags"] & FIRST)
            assert len(data) <= told["fragment"]
            # impacket takes the last bytes of some lengths for padding.
            arguments += data[24:]
            if head["flags"] & LAST:
                opnum, whole = request["op_num"], arguments
                arguments = b""
                with lock:
                    answer(stream, head["call_id"], opnum, whole, handles)
    except (Drop, OSError):
        pass
    except Exception:
        wrong.append(traceback.format_exc())
    finally:
        stream.close()


def bound(head):
    bind = MSRPCBind(head["pduData"])
    item = CtxItem(bind["ctx_items"])
    assert bind["ctx_num"] == 1
    result = CtxItemResult()
    is_ours = item["AbstractSyntax"] == scmr.MSRPC_UUID_SCMR and item["TransferSyntax"] == NDR
    result["Result"], result["Reason"] = (0, 0) if is_ours else (2, 1)
    result["TransferSyntax"] = NDR
    reply = MSRPCBindAck()
    reply["type"] = MSRPC_BINDACK
    reply["flags"] = FIRST | LAST
    reply["call_id"] = head["call_id"]
    reply["max_tfrag"] = reply["max_rfrag"] = told["fragment"]
    reply["assoc_group"] = 0x1234
    reply["SecondaryAddr"] = "\\PIPE\\ntsvcs"
    reply["SecondaryAddrLen"] = len(reply["SecondaryAddr"]) + 1
    reply["Pad"] = "A" * (-(reply["SecondaryAddrLen"] + MSRPCBindAck._SIZE) % 4)
    reply["ctx_num"] = 1
    reply["ctx_items"] = result.getData()
    reply["frag_len"] = len(reply.getData())
    return reply.getData()


def answer(stream, call, opnum, arguments, handles):
    fail = told["fail"].get(str(opnum))
    if fail == "fault":
        calls.append([opnum, "fault"])
        stream.sendall(packet(MSRPC_FAULT, FIRST | LAST, call, struct.pack("<II", UNKNOWN_INTERFACE, 0)))
        return
    code = fail if isinstance(fail, int) else None
    results = CALLS[opnum](arguments, handles, code).getData()
    if fail == "drop":
        raise Drop
    room = told["fragment"] - 24
    parts = [results[at:at + room] for at in range(0, len(results), room)]
    for index, part in enumerate(parts):
        flags = (FIRST if index == 0 else 0) | (LAST if index == len(parts) - 1 else 0)
        stream.sendall(packet(MSRPC_RESPONSE, flags, call, part))


def packet(kind, flags, call, body):
    head = MSRPCRespHeader()
    head["type"], head["flags"], head["call_id"] = kind, flags, call
    head["alloc_hint"] = len(body)
    head["frag_len"] = 24 + len(body)
    return head.getData()[:24] + body


def log(opnum, *arguments):
    calls.append([opnum, *arguments])


def text(value):
    return None if value == NULL or isinstance(value, bytes) and not value else value.rstrip("\0")


def opened(response, field, handles, what, code):
    handle = os.urandom(20)
    if code == 0:
        handles[handle] = what
    response[field] = handle if code == 0 else bytes(20)
    response["ErrorCode"] = code
    return response


def name_of(handle, handles):
    return handles[bytes(handle)]


def open_manager(arguments, handles, fail):
    request = scmr.ROpenSCManagerW(arguments)
    log(15, text(request["lpMachineName"]), text(request["lpDatabaseName"]), request["dwDesiredAccess"])
    return opened(scmr.ROpenSCManagerWResponse(), "lpScHandle", handles, "", fail or 0)


def create(arguments, handles, fail):
    request = scmr.RCreateServiceW(arguments)
    assert name_of(request["hSCManager"], handles) == ""
    name = text(request["lpServiceName"])
    service = {
        "display": text(request["lpDisplayName"]),
        "type": request["dwServiceType"],
        "start": request["dwStartType"],
        "error": request["dwErrorControl"],
        "command": text(request["lpBinaryPathName"]),
        "account": text(request["lpServiceStartName"]),
    }
    log(12, name, service, request["dwDesiredAccess"])
    others = [request[field] for field in ["lpLoadOrderGroup", "lpdwTagId", "lpDependencies", "lpPassword"]]
    assert all(other in (NULL, b"", 0) for other in others), others
    assert (request["dwDependSize"], request["dwPwSize"]) == (0, 0)
    code = fail or (EXISTS if name in services else 0)
    if code == 0:
        services[name] = {**service, "account": service["account"] or "LocalSystem", "state": STOPPED}
    response = scmr.RCreateServiceWResponse()
    response["lpdwTagId"] = NULL
    return opened(response, "lpServiceHandle", handles, name, code)


def open_service(arguments, handles, fail):
    request = scmr.ROpenServiceW(arguments)
    assert name_of(request["hSCManager"], handles) == ""
    name = text(request["lpServiceName"])
    log(16, name, request["dwDesiredAccess"])
    code = fail or (0 if name in services else NONE)
    return opened(scmr.ROpenServiceWResponse(), "lpServiceHandle", handles, name, code)


def start(arguments, handles, fail):
    request = scmr.RStartServiceW(arguments)
    name = name_of(request["hService"], handles)
    log(19, name, request["argc"])
    service = services[name]
    response = scmr.RStartServiceWResponse()
    response["ErrorCode"] = fail or (RUNS if service["state"] == RUNNING else 0)
    if response["ErrorCode"] == 0:
        service["state"] = START_PENDING
    return response


def advance(service):
    """What is pending is done when somebody asks again."""
    if service["state"] == START_PENDING and not told["slow"]:
        service["state"] = STOPPED if told["crash"] else RUNNING
    elif service["state"] == STOP_PENDING:
        service["state"] = STOPPED


def with_state(response, service, code, fields=("dwServiceType", "dwCurrentState")):
    status = scmr.SERVICE_STATUS()
    for field in ["dwControlsAccepted", "dwWin32ExitCode", "dwServiceSpecificExitCode", "dwCheckPoint", "dwWaitHint"]:
        status[field] = 0
    status[fields[0]] = service["type"] if code == 0 else 0
    status[fields[1]] = service["state"] if code == 0 else 0
    response["lpServiceStatus"] = status
    response["ErrorCode"] = code
    return response


def state(arguments, handles, fail):
    request = scmr.RQueryServiceStatus(arguments)
    name = name_of(request["hService"], handles)
    log(6, name)
    response = with_state(scmr.RQueryServiceStatusResponse(), services[name], fail or 0)
    advance(services[name])
    return response


def control(arguments, handles, fail):
    request = scmr.RControlService(arguments)
    name = name_of(request["hService"], handles)
    log(1, name, request["dwControl"])
    service = services[name]
    code = fail or (RESTS if service["state"] == STOPPED else 0)
    if code == 0:
        service["state"] = STOP_PENDING
    return with_state(scmr.RControlServiceResponse(), service, code)


def delete(arguments, handles, fail):
    request = scmr.RDeleteService(arguments)
    name = name_of(request["hService"], handles)
    log(2, name)
    if not fail:
        del services[name]
    response = scmr.RDeleteServiceResponse()
    response["ErrorCode"] = fail or 0
    return response


def settings(arguments, handles, fail):
    request = scmr.RQueryServiceConfigW(arguments)
    name = name_of(request["hService"], handles)
    log(17, name, request["cbBufSize"])
    service = services[name]
    config = scmr.QUERY_SERVICE_CONFIGW()
    config["dwServiceType"], config["dwStartType"] = service["type"], service["start"]
    config["dwErrorControl"], config["dwTagId"] = service["error"], 0
    config["lpBinaryPathName"] = service["command"] + "\0"
    config["lpLoadOrderGroup"] = "\0"
    config["lpDependencies"] = "/\0"
    config["lpServiceStartName"] = service["account"] + "\0"
    config["lpDisplayName"] = service["display"] + "\0"
    response = scmr.RQueryServiceConfigWResponse()
    response["lpServiceConfig"] = config
    response["pcbBytesNeeded"] = 0
    response["ErrorCode"] = fail or 0
    return response


def close(arguments, handles, fail):
    request = scmr.RCloseServiceHandle(arguments)
    log(0)
    del handles[bytes(request["hSCObject"])]
    response = scmr.RCloseServiceHandleResponse()
    response["hSCObject"] = bytes(20)
    response["ErrorCode"] = fail or 0
    return response


CALLS = {0: close, 1: control, 2: delete, 6: state, 12: create, 15: open_manager, 16: open_service, 17: settings, 19: start}


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("listening", flush=True)
    for line in sys.stdin:
        wishes = json.loads(line)
        with lock:
            services.update(wishes.pop("services", {}))
            told.update(wishes)
            print(json.dumps({"services": services, "calls": calls, "wrong": wrong}, sort_keys=True), flush=True)


main()
