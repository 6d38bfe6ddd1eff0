"""An exec by dockerpty, which takes no command line: HOST CONTAINER -t|-T COMMAND..."""

import sys

import docker
import dockerpty

host, container, terminal = sys.argv[1:4]
client = docker.Client(base_url=host, version="auto")
dockerpty.exec_command(client, container, sys.argv[4:], interactive=terminal == "-t")
