"""What the docker library for Python sees: library.py NAME LABEL [attach]. Settings come from the environment, as
documented; with "attach" it is what only a client certificate opens, since this library forgets HttpHeaders there."""

import os
import pathlib
import sys

import docker
from docker.tls import TLSConfig

name, (label, _, value) = sys.argv[1], sys.argv[2].partition("=")
tls = False
if os.environ.get("DOCKER_TLS_VERIFY"):
    folder = pathlib.Path(os.environ["DOCKER_CERT_PATH"])
    mine = (str(folder / "cert.pem"), str(folder / "key.pem"))
    tls = TLSConfig(client_cert=mine if (folder / "cert.pem").exists() else None, ca_cert=str(folder / "ca.pem"),
                    verify=True)
client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], tls=tls, version="auto", timeout=60)

print("ping:", client.ping())
if sys.argv[3:] == ["attach"]:
    container = client.containers.create("busybox:latest", "sh -c 'read line; echo $line; exit 4'", name=name,
                                         labels={label: value}, stdin_open=True)
    attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    raw = getattr(attached, "_sock", attached)
    raw.sendall(b"words\n")
    data = b""
    while b"\n" not in data:
        data += raw.recv(4096)
    print("said:", repr(data[8:].decode().strip()))  # eight bytes of frame header
    attached.close()
    print("waited:", container.wait())
    container.remove()
    sys.exit()
container = client.containers.run(
    "busybox:latest", "sh -c 'trap \"exit 6\" TERM; echo up; while :; do sleep 0.1; done'", name=name,
    labels={label: value}, detach=True)
started = client.api.exec_create(container.id, ["sh", "-c", "read line; echo echo of $line"], stdin=True)
attached = client.api.exec_start(started["Id"], socket=True)
raw = getattr(attached, "_sock", attached)
raw.sendall(b"words\n")
data = b""
while b"\n" not in data:
    data += raw.recv(4096)
print("attached:", data[8:].decode(), end="")  # eight bytes of frame header
attached.close()
container.stop(timeout=10)
print("waited:", container.wait())
print("logs:", [line.decode() for line in container.logs(stream=True, follow=True)])
container.remove()
