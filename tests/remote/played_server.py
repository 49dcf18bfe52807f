"""A chat server that a run can start: plays a controller or a verifier, and says who asked."""

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("role", choices=("controller", "verifier"))
parser.add_argument("--port", type=int)
parser.add_argument("--latency", type=float, default=0.0)
options = parser.parse_args()


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def answer(body: dict[str, Any], choice: int) -> str:
    if options.role == "verifier":
        return json.dumps({"reason": "it is the first", "best": 1})
    first = not any(m["role"] == "assistant" for m in body["messages"])
    code = f"print({choice})" if first else "final_answer(2)"
    return f"Thought: So.\nCode:\n```py\n{code}\n```"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("lora_adapter"):
            say("loaded" if "/load" in self.path else "unloaded", body["lora_name"])
            self._send({})
            return
        say("asked")
        time.sleep(options.latency)
        texts = [answer(body, i) for i in range(body.get("n", 1))]
        choices = [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        self._send({"object": "chat.completion", "choices": choices, "usage": usage})

    def _send(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


say("pid", os.getpid())
ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
