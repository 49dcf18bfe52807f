"""Settings of servers. The docstring of a field is its documentation."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from sport.tune.config import Settings

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.I)
"""Names of environment variables that hold what nobody else may see."""


class Price(Settings):
    """What a million tokens cost, in any one currency."""

    input: float = Field(ge=0)
    """Tokens that the model reads."""
    output: float = Field(ge=0)
    """Tokens that it writes."""


class ServerSettings(Settings):
    """A server that speaks the OpenAI chat API, such as vLLM, SGLang, llama.cpp or a hosted one."""

    url: str
    """Its base, such as `http://127.0.0.1:8000/v1`."""
    model: str | None = None
    """What the server calls the model; the section's `model` where it is left out."""
    key_env: str | None = None
    """Environment variable that holds the key, or whose name with `_FILE` added holds the path of
    a file with it; no key is sent where it is left out."""
    concurrency: int = Field(64, ge=1)
    """Requests, and trajectories, under way at a time."""
    attempts: int = Field(6, ge=1)
    """How often a request is sent at most."""
    attempt_timeout_s: float = Field(120.0, gt=0)
    """Wall time of one attempt, in seconds."""
    total_timeout_s: float = Field(900.0, gt=0)
    """Wall time of all attempts together, pauses included, in seconds."""
    backoff_s: float = Field(0.5, gt=0)
    """Pause before the second attempt, in seconds; it doubles from attempt to attempt, and is
    shortened at random by up to a half."""
    outage: int = Field(20, ge=1)
    """Requests in a row that fail for good after which the run stops, to be gone on with."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further keys of every request, such as `top_k`; they come before ours."""
    omit: tuple[str, ...] = ()
    """Keys of a request that this server does not take, such as `seed` or `stop`."""
    load_adapters: bool = False
    """Whether tuned adapters are loaded into the running server (vLLM)."""
    price: Price | None = None
    """What its tokens cost; needed where the budget has `money`."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url = {url!r} is no address; give http://… or https://…, with /v1")
        if "@" in url.split("/")[2]:
            raise ValueError("url holds a user or password; name the key's variable in key_env")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _no_key_in_extra(self) -> Self:
        for name in self.extra:
            if "key" in name.lower() or "authorization" in name.lower():
                raise ValueError(
                    f"extra.{name}: a recipe holds no keys; name a variable in key_env"
                )
        return self


class ServeSettings(Settings):
    """A server that the run starts, waits for, and ends with itself."""

    command: tuple[str, ...] = Field(min_length=1)
    """Program and arguments. `{port}` becomes the port of the server's url, and `{model}` the
    folder or hub name of what is served: the model, or it with the tuned adapter merged where the
    server does not load adapters."""
    health: str = "/health"
    """Path, from the server's root, that answers 200 once it is ready."""
    start_timeout_s: float = Field(900.0, gt=0)
    """Wall time until it must be ready, in seconds."""
    while_tuning: Literal["stop", "sleep", "stay"] = "stop"
    """What it does while this process tunes: `stop` frees all of its GPU; `sleep` is vLLM's sleep
    mode, which wakes faster; `stay` is for a GPU of its own."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of it; keys have no place here, as the recipe is stored."""

    @field_validator("health")
    @classmethod
    def _is_a_path(cls, health: str) -> str:
        if not health.startswith("/"):
            raise ValueError(f"health = {health!r} is no path; it begins with /")
        return health

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if SECRET.search(name):
                raise ValueError(
                    f"env.{name}: a recipe holds no keys; set the variable in your shell, from "
                    "which the server inherits it"
                )
        return env


class BudgetSettings(Settings):
    """What a run may spend, all its sessions together.

    When it is spent, trajectories under way are finished and the run stops. It goes on by the same
    command once the budget has been raised.
    """

    money: float | None = Field(None, gt=0)
    """Cost of all servers' tokens, in the currency of the prices."""
    tokens: int | None = Field(None, gt=0)
    """Tokens read and written by servers."""
    hours: float | None = Field(None, gt=0)
    """Wall time of exploring and evaluating."""
