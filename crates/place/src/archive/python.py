# Files of a place without a shell, as of Windows, by Python alone: what get.sh and put.sh do elsewhere, with their exit codes.
# Arguments: get PATH NAME, or put PATH NAME KIND RANDOM.
import os, shutil, sys, tarfile
what, path, name = sys.argv[1:4]

def fail(text, code=97):
    sys.stderr.write('%s\n' % text)
    sys.exit(code)

def is_folder(path):
    return os.path.isdir(path) and not os.path.islink(path)

# Whether something of that kind may take the place of another.
def check(is_directory, path):
    if is_folder(path):
        is_directory or fail('cannot replace %s: it is a directory' % path)
    elif os.path.lexists(path):
        not is_directory or fail('cannot replace %s: it is no directory' % path)
        os.path.islink(path) or os.path.isfile(path) or fail('cannot replace %s: it is no regular file' % path)

def merge(here, there, is_check):
    for entry in os.listdir(here):
        ours, theirs = os.path.join(here, entry), os.path.join(there, entry)
        check(is_folder(ours), theirs)
        if is_folder(ours) and is_folder(theirs):
            merge(ours, theirs, is_check)
        elif not is_check:
            os.replace(ours, theirs)

# Windows would take some names apart, and follows links.
def checked(archive):
    links = set()
    for member in archive:
        if os.name == 'nt' and any(char in member.name for char in '\\:*?"<>|'):
            fail('%s: no name for Windows' % ascii(member.name))
        parts = member.name.split('/')
        if any('/'.join(parts[:count]) in links for count in range(1, len(parts))):
            fail('%s: below a link' % ascii(member.name))
        if member.issym():
            links.add(member.name)
        yield member

class Tar(tarfile.TarFile):
    def chown(self, *_, **__):
        pass

    def chmod(self, member, path):
        # What is read-only there cannot be renamed nor removed.
        if os.name != 'nt':
            tarfile.TarFile.chmod(self, member, path)

def unpack(folder):
    with Tar.open(fileobj=sys.stdin.buffer, mode='r|') as archive:
        # We have written it ourselves. Newer ones would take some modes away.
        archive.extraction_filter = staticmethod(lambda member, path: member)
        archive.extractall(folder, members=checked(archive))
    os.path.exists(os.path.join(folder, 'complete')) or fail('the stream ended before the archive did')

def plain(member):
    # Windows has no modes, and all would be writable for all here.
    if os.name == 'nt':
        member.mode = 0o755 if member.isdir() else 0o644
    return member

def put(kind, random):
    folder, last = os.path.split(path)
    if os.path.isdir(path):
        folder, last = path, name
    elif not last:
        fail('it is no directory') if os.path.lexists(path.rstrip('/\\')) else sys.exit(98)
    elif not os.path.isdir(folder or '.'):
        fail('%s is no directory' % folder) if os.path.lexists(folder) else sys.exit(98)
    target = os.path.join(folder, last)
    check(kind == 'd', target)
    own = os.path.join(target if is_folder(target) else folder, '.%s.thither-%s' % (last[:100].strip('.') or 'long', random))
    os.mkdir(own, 0o700)
    try:
        os.write(1, b'ready\n')
        unpack(own)
        root = os.path.join(own, 'root')
        check(kind == 'd', target)
        if is_folder(target):
            merge(root, target, True)
            merge(root, target, False)
        else:
            os.replace(root, target)
    finally:
        shutil.rmtree(own, ignore_errors=True)

try:
    if what == 'put':
        put(*sys.argv[4:])
    else:
        os.path.lexists(path) or sys.exit(98)
        with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT) as archive:
            archive.add(path, './' + name, filter=plain)
except (OSError, tarfile.TarError) as error:
    fail(error)
