"""dockerpty as a command: driver.py VERB CONTAINER-OR-IMAGE [COMMAND...], with the engine in DOCKER_HOST.

start, start-n     the terminal of a container that may have to be started, interactive or not
attach-logs        the same, with what it has printed before
exec-t, exec-n     a command in a container, interactive (which is with a terminal) or not
exec-i             the same with standard input and no terminal, by way of docker-py's exec_create
run-t, run-i       a fresh container of an image, removed afterwards
"""

import os
import sys

import docker
import dockerpty

verb, target, command = sys.argv[1], sys.argv[2], sys.argv[3:]
client = docker.Client(base_url=os.environ["DOCKER_HOST"], version="auto")
if verb in ("start", "start-n", "attach-logs"):
    dockerpty.start(client, target, interactive=verb != "start-n", logs=int(verb == "attach-logs"))
elif verb in ("exec-t", "exec-n"):
    dockerpty.exec_command(client, target, command, interactive=verb == "exec-t")
elif verb == "exec-i":
    made = client.exec_create(target, command, stdin=True, tty=False)
    dockerpty.start_exec(client, made, interactive=True)
elif verb in ("run-t", "run-i"):
    made = client.create_container(target, command, stdin_open=True, tty=verb == "run-t")
    dockerpty.start(client, made, logs=0)
    client.remove_container(made, force=True)
else:
    sys.exit(__doc__)
