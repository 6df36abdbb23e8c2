"""A process of the service without models: `python fake_worker.py`. The first word of each body says what becomes of the request."""

import os
import sys
import time

from sfumato.service import frames


def main():
    setup, _ = frames.read(sys.stdin.buffer)
    send = sys.stdout.buffer
    send.write(frames.packed({"error": "no model 'nowhere'"} if setup["generator"] == "nowhere" else {"verbs": ["restore", "generate"]}))
    send.flush()
    while (message := frames.read(sys.stdin.buffer)) is not None:
        word = message[1].decode()
        if word == "hang":
            time.sleep(3600)
        if word == "end":
            os._exit(1)
        if word == "refuse":
            send.write(frames.packed({"status": 422, "error": "/srv/pictures/x.png: is damaged"}))
        else:
            send.write(
                frames.packed({"status": 200, "kind": "text/plain", "headers": {"Process": str(os.getpid())}}, word.upper().encode())
            )
        send.flush()


if __name__ == "__main__":
    main()
