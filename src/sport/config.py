"""What a recipe says: its sections and keys, their bounds, and what goes together.

The docstring of a field is its documentation; :mod:`sport.recipes` reads the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sport.agents.base import AgentName
from sport.evals.config import BenchmarkSettings
from sport.policy.base import SamplingPlan
from sport.remote.config import BudgetSettings, ServerSettings, ServeSettings
from sport.sandbox.base import Limits
from sport.synthesis.config import LLMSettings, Synthesis
from sport.tools.config import McpSettings, ToolSettings
from sport.tune.config import PairConfig, SFTConfig, StepDPOConfig

Control = Annotated[str, Field(pattern=r"^(random|sft|shuffled(-\d+)?|oracle(-\d\d)?)$")]
"""Name of a control; see :mod:`sport.controls`."""


class RecipeError(ValueError):
    """A recipe cannot be read; names the file, the key and the mend."""


class Section(BaseModel):
    """Base of a recipe's sections: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _check_serve(section: str, serve: ServeSettings | None, server: ServerSettings | None) -> None:
    """A child needs an address, on this machine, and a way to its tuned adapters."""
    if serve is None:
        return
    if server is None:
        raise ValueError(f"{section}.serve needs a section [{section}.server] with its url")
    if urlsplit(server.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError(
            f"{section}.serve starts a server on this machine, and {section}.server.url is "
            f"{server.url}: give http://127.0.0.1:…"
        )


class PolicySettings(Section):
    """The controller that is to become better."""

    kind: Literal["local", "chat", "script", "gold"] = "local"
    """`local`: a vision-language model that transformers loads on this machine; `chat`: one behind
    a server, which samples, while tuning still loads `model` here; `script`: a policy of your own,
    in Python; `gold`: follows the gold chains of GTA, to check scorers by."""
    model: str = "pocket"
    """`pocket` (the embedded model), a folder, a name on the model hub, or `module:attribute` of
    a `script`."""
    server: ServerSettings | None = None
    """The server of `chat`."""
    serve: ServeSettings | None = None
    """How the run starts that server itself, as its child."""
    adapter: str | None = None
    """Folder of a PEFT adapter to start from."""
    prompt: str = "compact"
    """`compact`, `code_agent`, or the path of a `.md` file."""
    device: str = "cpu"
    """Where it computes, such as `cpu` or `cuda`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights; a large model on a GPU wants `bfloat16`."""
    quantize: Literal["none", "4bit"] = "none"
    """`4bit` keeps the frozen weights in NF4 (QLoRA); it needs a GPU and the package
    bitsandbytes."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of the model; all cores where it is left out."""
    batch_rows: int = Field(320, ge=1)
    """Candidates that are decoded together."""
    history_mb: int = Field(2048, ge=0)
    """Memory, in MiB, for what the model has read of trajectories under way, so that a step reads
    only what is new; 0 reads every prompt anew."""

    @model_validator(mode="after")
    def _server_where_it_is_asked(self) -> Self:
        if (self.kind == "chat") != (self.server is not None):
            raise ValueError(
                'policy: kind = "chat" and a section [policy.server] with a url go together'
            )
        _check_serve("policy", self.serve, self.server)
        return self


class Sampling(Section):
    """How the candidates of a step are sampled (paper, section 4.1)."""

    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.7, 1.2, 1.2, 1.2, 1.2), min_length=1
    )
    """One a candidate; 0 is greedy."""
    top_p: float = Field(0.8, gt=0, le=1)
    """Nucleus mass."""
    max_new_tokens: int = Field(512, ge=1)
    """Longest action, in tokens."""

    @property
    def n(self) -> int:
        """Number of candidates a step."""
        return len(self.temperatures)

    @property
    def plan(self) -> SamplingPlan:
        """The settings as policies take them."""
        return SamplingPlan.model_validate(self.model_dump())


class Explore(Section):
    """How far a trajectory goes (paper, section 4.1)."""

    max_steps: int = Field(8, ge=1, le=14)
    """Steps of a trajectory; at most 14, since the sandbox's walls nest no deeper."""
    max_errors: int = Field(5, ge=1)
    """Failed steps after which a trajectory ends."""
    group: int = Field(64, ge=1)
    """Tasks that step together; a run that was killed redoes its last group."""
    side_effects: Literal["winner", "refuse"] = "winner"
    """Tools with side effects: `winner` calls them for the candidate that is chosen, and for no
    other; `refuse` calls them for none, neither where tasks are explored nor where they are
    evaluated, and `sport ask` alone does."""


class SandboxSettings(Section):
    """Bounds on what model-written code may use, one candidate at a time."""

    wall_s: float = Field(30.0, gt=0)
    """Wall time, in seconds."""
    cpu_s: float = Field(20.0, gt=0)
    """CPU time, in seconds."""
    memory_mb: int = Field(2048, ge=64)
    """Memory, in MiB."""
    disk_mb: int = Field(512, ge=1)
    """Size of its workspace, in MiB."""
    processes: int = Field(32, ge=1)
    """Processes and threads."""
    output_chars: int = Field(10_000, ge=100)
    """Characters of output that are kept."""
    unsafe_local: bool = False
    """Runs without walls where the system has none. Model-written code can then do what you can."""

    @property
    def limits(self) -> Limits:
        """The bounds as the sandbox takes them."""
        return Limits.model_validate(self.model_dump(exclude={"unsafe_local"}))


class VerifierSettings(Section):
    """Who names the best candidate of a step."""

    kind: Literal["rubric", "llm", "random", "oracle", "none"] = "rubric"
    """`rubric`: rules, offline; `llm`: a language model behind a server; `random` and `oracle` are
    controls; `none`: one candidate a step, for trajectories that are kept or dropped as a whole."""
    server: ServerSettings | None = None
    """The server of `llm`, with the `model` that judges; `[keep]` may ask it, too."""
    serve: ServeSettings | None = None
    """How the run starts that server itself, as its child."""
    mode: Literal["best", "ranking", "scores"] = "best"
    """What `llm` is asked for: the best candidate, a ranking, or scores from 0 to 10."""
    votes: int = Field(1, ge=1, le=15)
    """Verdicts that `llm` gives on a step, each in another order of the candidates; the step has a
    verdict only if more than half of them agree."""
    images: bool = True
    """Whether `llm` sees the pictures; turn it off for a model of text alone, which then reads
    their captions, where tasks have them."""
    temperature: float = Field(0.0, ge=0)
    """Temperature of the answers of `llm`."""
    max_new_tokens: int = Field(512, ge=16)
    """Longest answer of `llm`, in tokens."""
    prompt: str | None = None
    """Path of a `.md` file with a prompt of your own for `llm`."""

    @model_validator(mode="after")
    def _server_where_it_is_asked(self) -> Self:
        if self.kind == "llm" and self.server is None:
            raise ValueError(
                'verifier: kind = "llm" needs a section [verifier.server] with url and model'
            )
        if self.kind not in ("llm", "none") and self.server is not None:
            raise ValueError(
                f'verifier: kind = "{self.kind}" asks no server: leave [verifier.server] out, or '
                'set kind = "llm"'
            )
        _check_serve("verifier", self.serve, self.server)
        if self.server is not None and self.server.model is None:
            raise ValueError("verifier.server: `model` is missing: name the model that judges")
        return self


class Keep(Section):
    """Which trajectories are tuned on, judged as a whole (the T3 stage)."""

    kind: Literal["all", "rules", "llm"] = "all"
    """`all`; `rules`: those that answered, by what a tool showed; `llm`: those of these that the
    language model of `[verifier.server]` finds right from the query to the answer."""
    max_failed_steps: int = Field(1, ge=0)
    """Steps of a kept trajectory whose code failed, at most."""
    prompt: str | None = None
    """Path of a `.md` file with a prompt of your own for `llm`."""


class DPOStage(StepDPOConfig):
    """A stage of step-wise preference tuning (paper, section 3.4)."""

    kind: Literal["dpo"] = "dpo"
    """`dpo`: learns from the preference pairs."""
    packing: Literal["tree", "pairwise"] = "tree"
    """`tree` forwards a trajectory once, with all its candidates; `pairwise` forwards every
    candidate behind its own copy of the history. Both give the same loss and gradients; where a
    model cannot do the first, that is said and the second is done."""


class SFTStage(SFTConfig):
    """A stage of supervised tuning on the chosen actions."""

    kind: Literal["sft"] = "sft"
    """`sft`: imitates the chosen actions."""


TuneStage = Annotated[DPOStage | SFTStage, Field(discriminator="kind")]


class Evaluation(Section):
    """What is measured after each round: greedily, with one sample a step."""

    test: int = Field(400, ge=1)
    """Test tasks; they are only measured, never chosen by."""
    dev: int = Field(100, ge=1)
    """Development tasks, by which tuning stops early."""
    controls: tuple[Control, ...] = ("random",)
    """Controls of round 1: the same candidates and stages, but other labels. `random`, `shuffled`
    (`shuffled-2` is another shuffle), `sft`, `oracle`, or `oracle-80`, right 80 times in 100."""
    early_stop: bool = True
    """Whether the epoch that does best on the development tasks is kept."""
    group: int = Field(100, ge=1)
    """Tasks that are evaluated together."""
    held_out: float = Field(0.2, gt=0, lt=1)
    """Share of own tasks that is held out for evaluation, by file."""
    keep_apart: tuple[str, ...] = ()
    """Folders of benchmarks' data (GTA, GAIA) of which no question may be learnt from. GTA's are
    always kept apart."""


class Images(Section):
    """What happens to a picture where it enters, once."""

    max_pixels: int = Field(2_000_000, ge=1024)
    """Larger pictures are scaled down to this area."""


class Recipe(Section):
    """All that a run depends on."""

    name: str = ""
    """Name of the run; the file's name where it is left out."""
    root: Path = Path(".")
    """Folder that relative paths start from; the recipe's own where it is left out."""
    seed: int = 0
    """Seed of everything that is drawn."""
    rounds: int = Field(1, ge=0)
    """Rounds of exploring and tuning; 0 evaluates only."""
    tasks: str | None = None
    """Path of a `tasks.jsonl` of your own; instead of `[synthesis]`."""
    benchmark: BenchmarkSettings | None = None
    """A benchmark that is only measured; instead of tasks to learn from. See `sport eval`."""
    tools: tuple[str, ...] = ("ocr", "objectlocation", "ask_search_agent", "visualizer")
    """Names of built-in tools, own ones as `module:function`, and those of an MCP server as
    `mcp:NAME`, or one of them as `mcp:NAME/tool`."""
    tool: dict[str, ToolSettings] = {}
    """What is declared of a tool, as `[tool.NAME]`, and options of a built-in one."""
    mcp: dict[str, McpSettings] = {}
    """MCP servers whose tools are used, as `[mcp.NAME]`."""
    replay: str | None = None
    """Folder of a run whose recorded calls answer in place of the tools; nothing else is called."""
    synthesis: Synthesis | None = None
    """Where tasks come from, if not from a file."""
    agent: AgentName = "code"
    """How the controller acts; all but `code` are there to be evaluated, not tuned."""
    policy: PolicySettings = PolicySettings()
    """The controller."""
    sampling: Sampling = Sampling()
    """How candidates are sampled."""
    explore: Explore = Explore()
    """How far a trajectory goes."""
    sandbox: SandboxSettings = SandboxSettings()
    """Bounds on model-written code."""
    verifier: VerifierSettings = VerifierSettings()
    """Who names the best candidate."""
    keep: Keep = Keep()
    """Which trajectories are tuned on."""
    pairs: PairConfig = PairConfig()
    """Which candidates become preference pairs."""
    tune: tuple[TuneStage, ...] = Field((DPOStage(),), min_length=1)
    """Stages of tuning, in order, as `[[tune]]`."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    images: Images = Images()
    """How pictures enter."""
    budget: BudgetSettings = BudgetSettings()
    """What a run may spend."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.tasks, self.synthesis, self.benchmark)
        if sum(source is not None for source in sources) != 1:
            raise ValueError(
                "a run needs its tasks from exactly one place: give either "
                '`tasks = "tasks.jsonl"` or a section `[synthesis]`'
            )
        return self

    @model_validator(mode="after")
    def _benchmarks_are_measured_only(self) -> Self:
        if self.benchmark is not None and self.rounds:
            raise ValueError("a benchmark is measured and never trained on: set rounds = 0")
        single = self.benchmark is not None and self.benchmark.step_by_step
        if single and self.agent in ("smolagents", "no-tools"):
            raise ValueError(f"step_by_step does not go with the agent {self.agent!r}")
        if self.benchmark is None and (self.agent != "code" or self.policy.kind == "gold"):
            raise ValueError(
                'only the agent "code" is tuned; others, and the policy "gold", are evaluated'
            )
        return self

    @model_validator(mode="after")
    def _whole_trajectories(self) -> Self:
        if self.verifier.kind == "none" and self.sampling.n != 1:
            raise ValueError(
                f"verifier.kind is none, so nobody chooses among {self.sampling.n} "
                "candidates: give sampling.temperatures one value"
            )
        if self.keep.kind == "llm" and self.verifier.server is None:
            raise ValueError(
                'keep: kind = "llm" needs a section [verifier.server] with url and model'
            )
        return self

    @model_validator(mode="after")
    def _writer_is_there_first(self) -> Self:
        """The policy's own server starts when exploring does."""
        urls = [s.url for name, s in self.servers().items() if name.startswith("synthesis")]
        if self.policy.serve is not None and self.servers()["policy"].url in urls:
            raise ValueError(
                "synthesis: its server is the policy's, which the run starts only to explore: "
                "give it one of its own, or the verifier's"
            )
        return self

    @model_validator(mode="after")
    def _money_needs_prices(self) -> Self:
        for server in self.servers().values():
            if self.budget.money is not None and server.price is None:
                raise ValueError(
                    f"budget.money cannot be kept: the server {server.url} has no price. Give "
                    "price = {input = …, output = …} for a million tokens"
                )
        return self

    def servers(self) -> dict[str, ServerSettings]:
        """The servers that the recipe names, by section."""
        named = {"policy": self.policy.server, "verifier": self.verifier.server}
        if isinstance(self.synthesis, LLMSettings):
            named |= {
                "synthesis": self.synthesis.server,
                "synthesis.checker": self.synthesis.checker,
                "synthesis.embeddings": self.synthesis.embeddings,
            }
        return {section: server for section, server in named.items() if server is not None}

    def secret_names(self) -> set[str]:
        """Names of the variables whose values must not be shown."""
        names = {server.key_env for server in self.servers().values()}
        for mcp in self.mcp.values():
            names |= {mcp.key_env, *mcp.env}
        for tool in self.tool.values():
            names |= tool.key_names
        return {name for name in names if name is not None}

    def path(self, value: str) -> Path:
        """A path of the recipe, made absolute."""
        return (self.root / value).absolute()

    def place(self, value: str) -> Path | str:
        """A path of the recipe, made absolute, or an address such as ``s3://…`` as it is."""
        return value if "://" in value else self.path(value)

    def to_toml(self) -> str:
        """The recipe with every default written out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))
