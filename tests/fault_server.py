"""A chat server on the loopback that fails on purpose, and counts how.

It is real HTTP in a thread of its own. What a request gets depends on a seeded draw; what the
model says comes from a function of the request.
"""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

FAULTS = (
    "429", "429 with Retry-After", "500", "503", "reset", "stall", "truncated", "fewer choices",
    "empty", "refusal", "garbage", "not UTF-8", "content type",
)  # fmt: skip
"""Every fault that it knows."""

KINDS = {
    "429": "HTTP 429", "429 with Retry-After": "HTTP 429", "500": "HTTP 500", "503": "HTTP 503",
    "reset": "connection", "stall": "timeout", "truncated": "not JSON", "garbage": "not JSON",
}  # fmt: skip
"""What a client can call them, where it sees less than the server knows."""


def expected(injected: Counter[str]) -> Counter[str]:
    """The counts of injected faults as a client sees them."""
    seen: Counter[str] = Counter()
    for fault, times in injected.items():
        seen[KINDS.get(fault, fault)] += times
    return seen


@dataclass
class FaultServer:
    """A server to be used as a context.

    Attributes:
        says: The texts of a request's choices, by the request; fewer are dealt out in turn, and
            ``None`` is a refusal.
        rate: Share of requests that get a fault.
        faults: Which ones.
        stall_s: How long a stall lasts; clients must give up before.
        honours_n: Whether it gives as many choices as are asked for.
        takes: Whether it takes a request; it answers 400 to others.
        refuses: Status and body with which every chat request is refused.
        lora: Whether it loads adapters.
        blind: Whether it refuses pictures.
        embeds: The rows of an answer about embeddings, by the request; without it there are none.
        breaks_on: Keys of a request that it answers with 500.
        context: The context length that it tells, if any.
        rank: The largest rank of the adapters that it loads.
        requests: All chat requests, parsed, with their headers under ``headers``.
        injected: How often each fault was injected.
    """

    says: Callable[[dict[str, Any]], Sequence[str | None]] = lambda body: ["hello"]
    rate: float = 0.0
    faults: Sequence[str] = FAULTS
    seed: int = 0
    stall_s: float = 1.5
    latency_s: float = 0.0
    honours_n: bool = True
    takes: Callable[[dict[str, Any]], bool] = lambda body: True
    refuses: tuple[int, str] | None = None
    lora: bool = False
    blind: bool = False
    embeds: Callable[[dict[str, Any]], Any] | None = None
    usage: bool = True
    breaks_on: Sequence[str] = ()
    context: int | None = None
    rank: int = 64
    max_lora: list[dict[str, str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def __enter__(self) -> "FaultServer":
        self._random = random.Random(self.seed)
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10), "the server did not start"
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        async def run() -> None:
            app = web.Application(client_max_size=2**28)
            app.router.add_post("/v1/chat/completions", self._chat)
            app.router.add_get("/v1/models", self._models)
            if self.embeds is not None:
                app.router.add_post("/v1/embeddings", self._embed)
            if self.lora:
                app.router.add_post("/v1/load_lora_adapter", self._load)
                app.router.add_post("/v1/unload_lora_adapter", self._unload)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._stop = asyncio.Event()
            self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
            ready.set()
            await self._stop.wait()
            await runner.cleanup()

        self._loop.run_until_complete(run())
        self._loop.close()

    async def _models(self, request: web.Request) -> web.Response:
        names = ["base", *(m["lora_name"] for m in self.max_lora)]
        more = {} if self.context is None else {"max_model_len": self.context}
        return web.json_response({"data": [{"id": n, "object": "model", **more} for n in names]})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        rank = json.loads((Path(body["lora_path"]) / "adapter_config.json").read_text())["r"]
        if rank > self.rank:
            text = f"LoRA rank {rank} is greater than max_lora_rank {self.rank}."
            return web.json_response({"message": text}, status=400)
        self.max_lora.append(body)
        return web.Response(text="Success: LoRA adapter added")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.max_lora = [m for m in self.max_lora if m["lora_name"] != name]
        return web.Response(text="Success: LoRA adapter removed")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append({**body, "headers": dict(request.headers)})
        if self.refuses is not None:
            status, text = self.refuses
            return web.Response(status=status, text=text)
        if not self.takes(body):
            return web.Response(status=400, text="the content is filtered")
        if self.blind and b"image_url" in await request.read():
            return web.Response(status=400, text="this model takes text only")
        if any(key in body for key in self.breaks_on):
            return web.Response(status=500, text="Internal Server Error")
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        fault = self._random.choice(self.faults) if self._random.random() < self.rate else ""
        if fault:
            self.injected[fault] += 1
        answer = self._answer(body)
        if fault == "fewer choices":
            answer["choices"].pop()
        elif fault == "empty":
            answer["choices"][-1]["message"]["content"] = None
        elif fault == "refusal":
            answer["choices"][-1]["message"] = {"content": None, "refusal": "I would rather not."}
        elif fault:
            return await self._broken(fault, request, json.dumps(answer))
        return web.json_response(answer)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append({**body, "headers": dict(request.headers)})
        if self.refuses is not None:
            status, text = self.refuses
            return web.Response(status=status, text=text)
        assert self.embeds is not None
        data = await asyncio.to_thread(self.embeds, body)
        answer = {"object": "list", "data": data, "usage": {"prompt_tokens": len(body["input"])}}
        if self._random.random() < self.rate:
            fault = self._random.choice(self.faults)
            self.injected[fault] += 1
            return await self._broken(fault, request, json.dumps(answer))
        return web.json_response(answer)

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        n = body.get("n", 1) if self.honours_n else 1
        texts = list(self.says(body))
        choices = [
            {
                "index": i,
                "finish_reason": "stop",
                "message": _message(texts[i % len(texts)]),
            }
            for i in range(n)
        ]
        usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 10 * n}} if self.usage else {}
        return {"object": "chat.completion", "choices": choices, **usage}

    async def _broken(self, fault: str, request: web.Request, answer: str) -> web.StreamResponse:
        json_type = "application/json"
        if fault in ("429", "500", "503"):
            return web.json_response({"error": {"message": "busy"}}, status=int(fault))
        if fault == "429 with Retry-After":
            return web.Response(status=429, headers={"Retry-After": "0.05"})
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "stall":
            await asyncio.sleep(self.stall_s)
            return web.Response(text="too late")
        bodies = {
            "truncated": (answer[:-20].encode(), json_type),
            "garbage": (b"#" * 2**20, json_type),
            "not UTF-8": (answer.encode() + b"\xff\xfe", json_type),
            "content type": (answer.encode(), "text/html"),
        }
        content, media_type = bodies[fault]
        return web.Response(body=content, content_type=media_type)


def _message(text: str | None) -> dict[str, Any]:
    if text is None:
        return {"role": "assistant", "content": None, "refusal": "I would rather not."}
    return {"role": "assistant", "content": text}
