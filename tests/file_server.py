"""A web server on this machine that can fail in the ways that servers do."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_SECONDS = 10


class FileServer:
    """Serves `files`, a dictionary of contents by path.

    Attributes:
        files: path, with its slash -> content.
        replies: what befalls the coming requests, one each; after the last all is well. A number is
            an HTTP status, "half" breaks off, "unsized half" too and has not said how much would
            come, "stall" falls silent in the middle, "meet" waits there for another "meet",
            "endless" never ends, "https://..." redirects.
        requests: the paths asked for.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.replies: list[str | int] = []
        self.requests: list[str] = []
        self._closing = threading.Event()
        self._meeting = threading.Barrier(2, timeout=6 * PATIENCE_SECONDS)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; a second time does nothing."""
        if not self._closing.is_set():
            self._closing.set()
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                reply = server.replies.pop(0) if server.replies else "whole"
                if reply == "whole" and self.path not in server.files:
                    reply = 404
                if isinstance(reply, int):
                    self.send_error(reply)
                else:
                    server._send(self, reply, server.files.get(self.path, b""))

            def log_message(self, *args):
                pass

        return Handler

    def _send(self, handler: BaseHTTPRequestHandler, reply: str, content: bytes) -> None:
        handler.send_response(302 if "://" in reply else 200)
        if "://" in reply:
            handler.send_header("Location", reply)
        elif reply not in ("unsized half", "endless"):
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        half = len(content) // 2
        handler.wfile.write(content if reply == "whole" else content[:half])
        if reply == "meet":
            self._meeting.wait()
            handler.wfile.write(content[half:])
        if reply == "stall":
            self._closing.wait(PATIENCE_SECONDS)
        if reply == "endless":
            with contextlib.suppress(OSError):  # the client hangs up
                while not self._closing.is_set():
                    handler.wfile.write(bytes(1 << 16))
