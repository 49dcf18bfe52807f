"""What a request costs in the client, and how near it comes to the ideal rate.

python benchmarks/client.py [--in-flight 256] [--latency 1.0] [--requests 2048] [--n 5]

A server in another process answers after a fixed latency. The ideal is in-flight / latency
requests a second. Every client sends the same requests, one after another in one run:
`sport.remote.client`, and, where the package is installed, `openai` with its own transport and
with its aiohttp one. The last line asks for n choices in n requests instead of one.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import multiprocessing
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import web

from sport.remote.client import ChatClient
from sport.remote.config import ServerSettings

Ask = Callable[[int], Awaitable[None]]
"""Asks for so many choices."""

TEXT = "Thought: I read the receipt.\nCode:\n```py\nprint(ocr(image_path='image_0.png'))\n```"
MESSAGES = [
    {"role": "system", "content": "You solve a task step by step with Python code. " * 80},
    {"role": "user", "content": "How much do 3 tea cost? " * 20},
]


def serve(latency: float, pipe: Connection) -> None:
    """Answers every request after a latency; sends its port."""

    async def chat(request: web.Request) -> web.Response:
        n = (await request.json()).get("n", 1)
        await asyncio.sleep(latency)
        message = {"role": "assistant", "content": TEXT}
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(n)]
        usage = {"prompt_tokens": 900, "completion_tokens": 40 * n, "total_tokens": 900 + 40 * n}
        head = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        return web.json_response({**head, "choices": choices, "usage": usage})

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


@asynccontextmanager
async def ours(url: str, in_flight: int) -> AsyncIterator[Ask]:
    """The client of this project."""
    settings = ServerSettings(url=url, concurrency=in_flight)
    async with ChatClient(settings, "m", "policy") as client:

        async def ask(n: int) -> None:
            found = await client.choices(MESSAGES, n, temperature=1.2, max_tokens=512)
            assert len(found.had) == n, found.missing

        yield ask


@asynccontextmanager
async def official(url: str, in_flight: int, transport: str) -> AsyncIterator[Ask]:
    """The `openai` package, with as many connections as are needed."""
    openai: Any = importlib.import_module("openai")
    aiohttp = transport == "aiohttp"
    connect = openai.DefaultAioHttpClient if aiohttp else openai.DefaultAsyncHttpxClient
    async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=connect()) as api:

        async def ask(n: int) -> None:
            reply = await api.chat.completions.create(
                model="m", messages=MESSAGES, n=n, temperature=1.2, max_tokens=512
            )
            assert len(reply.choices) == n

        yield ask


async def drive(ask: Ask, options: argparse.Namespace, split: bool) -> tuple[float, float]:
    """Keeps so many requests in flight; (seconds, CPU seconds of this process)."""
    owed = iter(range(options.requests))

    async def work() -> None:
        for _ in owed:
            if split:
                await asyncio.gather(*(ask(1) for _ in range(options.n)))
            else:
                await ask(options.n)

    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(work() for _ in range(options.in_flight)))
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def measure(url: str, options: argparse.Namespace) -> None:
    """Measures one client after another and prints a line each."""
    wide = options.in_flight * options.n
    clients: dict[str, tuple[Callable[[], AbstractAsyncContextManager[Ask]], bool]] = {
        "sport (aiohttp + orjson)": (lambda: ours(url, options.in_flight), False),
        "openai": (lambda: official(url, options.in_flight, "httpx"), False),
        "openai, aiohttp": (lambda: official(url, options.in_flight, "aiohttp"), False),
        f"sport, {options.n} requests of 1": (lambda: ours(url, wide), True),
    }
    ideal = options.in_flight / options.latency
    print(f"{options.in_flight} in flight, {options.latency:g} s latency, n = {options.n}")
    print(f"{'client':28} {'steps/s':>9} {'of ideal':>9} {'CPU ms/step':>12}")
    for name, (connect, split) in clients.items():
        try:
            async with connect() as ask:
                seconds, cpu = await drive(ask, options, split)
        except ImportError as error:
            print(f"{name:28} left out: {error}")
            continue
        rate = options.requests / seconds
        print(f"{name:28} {rate:9.1f} {rate / ideal:9.2f} {1000 * cpu / options.requests:12.2f}")


def main() -> None:
    """Starts the server, measures, and ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency", type=float, default=1.0)
    parser.add_argument("--requests", type=int, default=2560)
    parser.add_argument("--n", type=int, default=5)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(options.latency, there), daemon=True)
    server.start()
    try:
        asyncio.run(measure(f"http://127.0.0.1:{here.recv()}/v1", options))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
