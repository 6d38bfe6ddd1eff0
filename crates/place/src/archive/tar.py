import os, sys, tarfile
args = sys.argv[1:]
if '--version' in args:
    print('Python')
    sys.exit()
def after(name):
    return args[args.index(name) + 1]
os.chdir(after('-C'))
if '-x' in args:
    class Tar(tarfile.TarFile):
        def chown(self, member, path, numeric_owner=True):
            if '-o' not in args:
                tarfile.TarFile.chown(self, member, path, True)
    source = after('-f')
    source = getattr(sys.stdin, 'buffer', sys.stdin) if source == '-' else open(source, 'rb')
    with Tar.open(fileobj=source, mode='r|') as archive:
        # We have written it ourselves. Newer ones would take some modes away.
        archive.extraction_filter = staticmethod(lambda member, path: member)
        archive.extractall('.')
else:
    out = getattr(sys.stdout, 'buffer', sys.stdout)
    with tarfile.open(fileobj=out, mode='w|', format=tarfile.PAX_FORMAT) as archive:
        archive.add(args[-1])
