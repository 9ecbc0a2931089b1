"""aiodocker attaches by a WebSocket with an Origin that it makes up: by_websocket.py ENDPOINT FOLDER NAME LABEL. FOLDER holds
cert.pem, key.pem and ca.pem, or is empty. Prints what a container echoed, or how the gateway refused."""

import asyncio
import pathlib
import ssl
import sys

import aiodocker
import aiohttp

endpoint, folder, name, label = sys.argv[1:5]
label, _, value = label.partition("=")


async def main():
    context = None
    if folder:
        files = pathlib.Path(folder)
        context = ssl.create_default_context(cafile=files / "ca.pem")
        context.load_cert_chain(files / "cert.pem", files / "key.pem")
    async with aiodocker.Docker(url=endpoint, ssl_context=context) as docker:
        print("version:", bool((await docker.version())["ApiVersion"]))
        settings = {"Image": "busybox:latest", "Cmd": ["cat"], "OpenStdin": True, "Tty": True, "Labels": {label: value}}
        container = await docker.containers.create(settings, name=name)
        try:
            await container.start()
            try:
                socket = await container.websocket(stdin=True, stdout=True, stream=True)
            except aiohttp.WSServerHandshakeError as refused:
                print("refused:", refused.status)
                return
            await socket.send_str("words\n")
            heard = b""
            while b"words" not in heard:
                message = await asyncio.wait_for(socket.receive(), 30)
                heard += message.data.encode() if isinstance(message.data, str) else message.data
            print("heard: words")
            await socket.close()
        finally:
            await container.delete(force=True)


asyncio.run(main())
