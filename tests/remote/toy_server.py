"""A server of a few lines that a run can start: healthy after a while, sleeps, has a worker."""

import argparse
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--port", type=int)
parser.add_argument("--loads", type=float, default=0.0)
parser.add_argument("--fails", action="store_true")
options = parser.parse_args()

say("serving", options.model)
say("key", os.environ.get("OWN_KEY"), "other", os.environ.get("OTHER_KEY"))
if options.fails:
    sys.exit("CUDA out of memory")
worker = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
say("worker", worker.pid)
ready = time.monotonic() + options.loads


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200 if time.monotonic() >= ready else 503)

    def do_POST(self) -> None:
        say("asked", self.path)
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
