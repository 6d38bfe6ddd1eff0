# The other end of python_floor.rs: calls by name, nothing else. Frames both ways: a little endian u64, whose low half is
# the length of a marshalled payload and whose high half that of raw bytes behind it; from the client its highest bit
# says that more calls follow at once, so that the answers can too. A call is (name, arguments), raw bytes being the
# only argument where there are some.
import marshal, os

def main(loads=marshal.loads, dumps=marshal.dumps, write=os.write):
    read = open(0, "rb", 65536, closefd=False).read
    names = {"hold": lambda code: exec(code, globals())}
    answers = []
    while header := read(8):
        header = int.from_bytes(header, "little")
        name, arguments = loads(read(header & 0xFFFFFFFF))
        raw = header >> 32 & 0x7FFFFFFF
        if raw:
            arguments = (read(raw),)
        try:
            function = names[name]
        except KeyError:
            module, _, attribute = name.rpartition(".")
            function = names[name] = getattr(__import__(module), attribute)
        result = function(*arguments)
        del arguments
        if type(result) is bytes and len(result) >= 65536:
            write(1, (len(result) << 32).to_bytes(8, "little"))
            write(1, result)
            continue
        payload = dumps(result, 2)
        answer = len(payload).to_bytes(8, "little") + payload
        if header >> 63:
            answers.append(answer)
        elif answers:
            answers.append(answer)
            write(1, b"".join(answers))
            answers.clear()
        else:
            write(1, answer)

main()
