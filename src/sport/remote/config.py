"""Settings of servers. The docstring of a field is its documentation."""

from __future__ import annotations

from typing import Self

from pydantic import Field, JsonValue, field_validator, model_validator

from sport.tune.config import Settings


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
