"""Puts a script at the beginning of the first page, before gradio's own: gradio itself adds scripts only when it has started."""

from sfumato.web.gate import Application, Message, Receive, Send


class WithHead:
    """An ASGI application whose page at / has `head` right behind the tag <head>."""

    def __init__(self, inner: Application, head: str) -> None:
        self._inner, self._head = inner, head.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope.get("type") != "http" or scope.get("path") != "/" or scope.get("method") != "GET":
            await self._inner(scope, receive, send)
            return
        raw = scope.get("headers") or []
        assert isinstance(raw, list | tuple)
        plain = [(name, value) for name, value in raw if name.lower() != b"accept-encoding"]  # a packed page cannot be changed
        start: Message = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif isinstance(part := message.get("body"), bytes):
                body.extend(part)

        await self._inner({**scope, "headers": plain}, receive, gather)
        page = bytes(body).replace(b"<head>", b"<head>" + self._head, 1)
        headers = start.get("headers") or ()
        assert isinstance(headers, list | tuple)
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        await send({**start, "headers": [*kept, (b"content-length", str(len(page)).encode())]})
        await send({"type": "http.response.body", "body": page})
