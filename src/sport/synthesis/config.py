"""Settings of synthesis. The docstring of a field is its documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from sport.remote.config import ServerSettings
from sport.tune.config import Settings

TOPICS = (
    "shopping and prices", "cooking", "travel", "public transport", "money and bills",
    "health and fitness", "sport results", "school homework", "science", "geography",
    "history and landmarks", "art", "animals", "plants and gardens", "weather", "city streets",
    "home and furniture", "repairs and tools", "office work", "company figures", "events and dates",
    "people and clothes", "food and nutrition", "technology",
)  # fmt: skip
"""What queries are about where a recipe does not say."""


class GrammarSettings(Settings):
    """The pocket world's own problems, made offline."""

    kind: Literal["grammar"] = "grammar"
    """`grammar`: the pocket world's own problems; `captions`: tasks over your own captioned
    pictures, made offline; `llm`: tasks that a language model writes."""
    tasks_per_round: int = Field(400, ge=1)
    """Fresh tasks that every round explores."""


class PictureSettings(Settings):
    """The pictures that tasks are made over."""

    pictures: tuple[str, ...] = ()
    """Folders of captioned pictures that are taken into the library first."""
    library: str | None = None
    """Folder of the library, as `sport images add` fills it, or its address on object storage;
    where there are `pictures`, by default one in the run's folder."""


class CaptionSettings(PictureSettings):
    """Tasks over captioned pictures, made by rules, with no model."""

    kind: Literal["captions"]
    """`captions`."""
    tasks_per_round: int = Field(100, ge=1)
    """Fresh tasks that every round explores."""

    @model_validator(mode="after")
    def _some_pictures(self) -> Self:
        if self.library is None and not self.pictures:
            raise ValueError(
                'synthesis: there are no pictures: give pictures = ["FOLDER"] or library = "FOLDER"'
            )
        return self


class LLMSettings(PictureSettings):
    """Tasks that a language model writes, over files that are found or made (paper, 3.2).

    Without pictures and library all files are made.
    """

    kind: Literal["llm"]
    """`llm`."""
    tasks_per_round: int = Field(100, ge=1)
    """Fresh tasks that every round explores; a round whose tasks run out has fewer, and says so."""
    server: ServerSettings
    """The server of the language model that writes, with its `model`."""
    checker: ServerSettings | None = None
    """The server of the vision-language model that checks query and files; the one that writes,
    where it is left out, which must then see pictures."""
    seeds: str | None = None
    """Path of a `.jsonl` with tasks of your own to write others like: `query`, and optionally
    `files` and `tools`. Ten are enough."""
    from_tools: bool = False
    """Whether seeds are drafted from the descriptions of the tools, instead of given."""
    embedder: str | None = None
    """Folder of a sentence-transformers model, by which pictures are found by meaning; the one
    that the library was filled with."""
    embeddings: ServerSettings | None = None
    """In its place: a server with an OpenAI embeddings API, with its `model`."""
    min_similarity: float = Field(0.35, ge=-1, le=1)
    """Least cosine similarity of what is wanted and a caption."""
    min_words: float = Field(0.5, ge=0, le=1)
    """Without an embedder: least share of the words that are wanted that a caption must have."""
    max_uses: int = Field(3, ge=1)
    """How many tasks of a run use one picture at most."""
    make_files: bool = True
    """Whether files that cannot be found are made, by code of the model in the sandbox."""
    without_files: bool = False
    """Whether queries that need no file are kept."""
    batch: int = Field(10, ge=1, le=50)
    """Queries that are asked for together."""
    examples: int = Field(5, ge=1, le=20)
    """Seeds that a request shows, drawn anew for each."""
    tools_per_task: tuple[int, ...] = Field((1, 2, 2, 3), min_length=1)
    """How many tools a task wants, drawn for each request: its difficulty."""
    topics: tuple[str, ...] = Field(TOPICS, min_length=1)
    """What queries are about; each request gets some of them."""
    max_overlap: float = Field(0.6, gt=0, le=1)
    """Queries that share more of their pairs of words (Jaccard) are near-duplicates."""
    waves: int = Field(6, ge=1)
    """How often more queries are asked for until enough are kept."""
    curriculum: bool = True
    """Whether, from round 2 on, tools and kinds of files that the controller fails at sometimes
    are wanted more often than those that it always or never masters."""
    temperature: float = Field(0.9, ge=0)
    """Temperature of what is written; checks are asked at 0."""
    max_new_tokens: int = Field(4096, ge=64)
    """Longest answer, in tokens."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("server", "checker", "embeddings"):
            server = getattr(self, name)
            if server is not None and server.model is None:
                raise ValueError(f"synthesis.{name}: `model` is missing: name the model")
        if (self.seeds is None) != self.from_tools:
            raise ValueError(
                'synthesis: give either seeds = "seeds.jsonl" or from_tools = true, which drafts '
                "them from the tools"
            )
        if not self.finds and not self.make_files:
            raise ValueError(
                "synthesis: without a library and with make_files = false no task has a file: "
                'give library = "FOLDER" or pictures = ["FOLDER"]'
            )
        if self.embedder is not None and self.embeddings is not None:
            raise ValueError("synthesis: give either an embedder or [synthesis.embeddings]")
        if self.dense and not self.finds:
            raise ValueError(
                'synthesis: an embedder needs a library: give library = "FOLDER" or pictures = '
                '["FOLDER"]'
            )
        return self

    @property
    def dense(self) -> bool:
        """Whether pictures are found by meaning."""
        return self.embedder is not None or self.embeddings is not None

    @property
    def finds(self) -> bool:
        """Whether there is a library to find pictures in."""
        return self.library is not None or bool(self.pictures)

    @property
    def checking(self) -> ServerSettings:
        """The server that checks."""
        return self.checker or self.server


def _kind(data: Any) -> Any:
    return data.get("kind", "grammar") if isinstance(data, dict) else getattr(data, "kind", None)


Synthesis = Annotated[
    Annotated[GrammarSettings, Tag("grammar")]
    | Annotated[CaptionSettings, Tag("captions")]
    | Annotated[LLMSettings, Tag("llm")],
    Discriminator(_kind),
]
"""Where tasks come from, if not from a file."""
