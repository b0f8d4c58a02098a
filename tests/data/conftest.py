"""A web server on the loopback for the tests of downloads."""

from __future__ import annotations

import functools
import http.server
import threading

import pytest


@pytest.fixture
def serve():
    """`serve(folder)` gives its address, ending in "/", and the list of the paths requested so far."""
    servers = []

    def start(folder):
        requests = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *arguments):
                requests.append(self.path)

            def log_error(self, *arguments):
                pass

        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/", requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
