"""The tables of a library in LanceDB: captions that are searched by words, vectors by nearness."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sport.library.place import Place
from sport.library.records import Caption, LibraryError, Picture
from sport.runtime import returning_freed_memory

if TYPE_CHECKING:
    from lancedb.db import DBConnection
    from lancedb.query import LanceVectorQueryBuilder
    from lancedb.table import Table

_PICTURES = "pictures"
_VECTORS = "vectors-"

INDEXED = 10_000
"""Vectors from which an index is built: fewer are compared one by one, and exactly."""

_PARTITION = 1_000
_PROBES = 20
"""Partitions of about a thousand vectors that are looked through: up to 20,000 vectors, all."""

_AT_ONCE = 500
_KEPT = timedelta(hours=1)
"""How long old versions of a table are kept, for those who read while it is written."""


class Tables:
    """What a library stores: one row for each picture, and one table of vectors for each model."""

    def __init__(self, place: Place) -> None:
        """Opens the tables of ``place``, which are made when the first row is added.

        Raises:
            LibraryError: LanceDB is not installed.
        """
        if importlib.util.find_spec("lancedb") is None:
            raise LibraryError(
                "A library of pictures needs LanceDB: pip install 'sport-agents[library]'"
            )
        self._place = place
        self._connection: DBConnection | None = None
        self._opened: dict[str, Table] = {}

    def names(self) -> list[str]:
        """The tables that there are."""
        if self._connection is None and not self._place.exists():
            return []
        return sorted(self._database().list_tables().tables or [])

    def models(self) -> list[str]:
        """The embedding models that there are vectors of."""
        return [name.removeprefix(_VECTORS) for name in self.names() if name.startswith(_VECTORS)]

    @property
    def empty(self) -> bool:
        """Whether nothing was ever added."""
        return _PICTURES not in self.names()

    def add(self, pictures: Sequence[Picture]) -> None:
        """Appends rows, all of them or none."""
        if pictures:
            import pyarrow as pa

            rows = [_row(picture) for picture in pictures]
            self._pictures(make=True).add(pa.Table.from_pylist(rows, schema=_schema()))

    def remove(self, digests: Sequence[str]) -> None:
        """Deletes pictures and their vectors.

        The vectors go first: none may outlive the caption that it is of.
        """
        for name in sorted(self.names(), key=_PICTURES.__eq__):
            for part in _parts(digests):
                self._table(name).delete(_among(part))

    def pictures(self) -> list[Picture]:
        """All rows."""
        if self.empty:
            return []
        return [_picture(row) for row in self._pictures().to_arrow().to_pylist()]

    def count(self) -> int:
        """How many rows there are."""
        return self._pictures().count_rows()

    def find(self, digests: Sequence[str]) -> dict[str, Picture]:
        """The rows of some pictures."""
        return {row["sha256"]: _picture(row) for row in _rows(self._pictures(), digests)}

    def by_words(self, text: str, n: int) -> list[tuple[str, float]]:
        """The captions that share words with a text: digest and BM25 score, the best first."""
        query = self._pictures().search(text, query_type="fts").limit(n)
        rows = query.select(["sha256", "_score"]).to_list()
        return sorted(((r["sha256"], r["_score"]) for r in rows), key=lambda r: (-r[1], r[0]))

    def add_vectors(self, model: str, digests: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Appends vectors of captions.

        Args:
            model: Name of the embedding model.
            digests: Whose captions they are of.
            vectors: ``[len(digests), dimension]``, each of length 1.
        """
        import pyarrow as pa

        kind = pa.list_(pa.float32(), vectors.shape[1])
        schema = pa.schema(
            [pa.field("sha256", pa.string(), False), pa.field("vector", kind, False)]
        )
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        self._table(_VECTORS + model, schema).add(
            pa.table([pa.array(digests, pa.string()), flat], schema=schema)
        )

    def with_vectors(self, model: str) -> set[str]:
        """The digests of those pictures whose caption has a vector of a model."""
        if model not in self.models():
            return set()
        rows = self._table(_VECTORS + model).search().select(["sha256"]).to_arrow()
        return set(rows["sha256"].to_pylist())

    def count_vectors(self, model: str) -> int:
        """How many captions have a vector of a model."""
        return self._table(_VECTORS + model).count_rows()

    def by_nearness(
        self, model: str, vector: NDArray[np.float32], n: int
    ) -> list[tuple[str, float]]:
        """The captions nearest to a vector: digest and cosine similarity, the best first."""
        table = self._table(_VECTORS + model)
        query = cast("LanceVectorQueryBuilder", table.search(vector, query_type="vector"))
        # As many partitions as hold twice as many vectors, so that all can be had.
        probes = max(_PROBES, 2 * n // _PARTITION)
        query = query.distance_type("dot").nprobes(probes).limit(n)
        rows = query.select(["sha256", "_distance"]).to_list()
        # LanceDB calls one minus the inner product a distance.
        return sorted(
            ((r["sha256"], 1 - r["_distance"]) for r in rows), key=lambda r: (-r[1], r[0])
        )

    def similarities(
        self, model: str, vector: NDArray[np.float32], digests: Sequence[str]
    ) -> dict[str, float]:
        """The cosine similarities of some captions to a vector; none where one has no vector."""
        if not digests:
            return {}
        rows = _rows(self._table(_VECTORS + model), digests)
        return {row["sha256"]: float(np.dot(row["vector"], vector)) for row in rows}

    def settle(self) -> None:
        """Brings the indices up to date and the many small files of adding together."""
        # Kept by the allocator, what building an index frees is more than what it needs.
        with returning_freed_memory():
            for name in self.names():
                self._settle(name)

    def _settle(self, name: str) -> None:
        from lancedb.index import BTree, IvfFlat

        table = self._table(name)
        table.optimize(cleanup_older_than=_KEPT)
        indexed = {column for index in table.list_indices() for column in index.columns}
        if name == _PICTURES and "caption" not in indexed:
            _index_words(table)  # The process that made the table was killed before.
        if "sha256" not in indexed:
            table.create_index("sha256", config=BTree())
        if name != _PICTURES and "vector" not in indexed and table.count_rows() >= INDEXED:
            # Of whole vectors, so that similarities are exact and only the choice is not.
            parts = table.count_rows() // _PARTITION
            config = IvfFlat(distance_type="dot", num_partitions=parts)
            table.create_index("vector", config=config)

    def _pictures(self, make: bool = False) -> Table:
        if make and self.empty:
            # Indexed at once: rows that an index does not hold yet are searched one by one, so a
            # library whose filling was interrupted can be searched as well.
            _index_words(self._table(_PICTURES, _schema()))
        return self._table(_PICTURES)

    def _table(self, name: str, schema: Any = None) -> Table:
        if name not in self._opened:
            if schema is not None and name not in self.names():
                self._opened[name] = self._database().create_table(name, schema=schema)
            else:
                self._opened[name] = self._database().open_table(name)
        return self._opened[name]

    def _database(self) -> DBConnection:
        if self._connection is None:
            import lancedb

            # What another process wrote is seen by the next query.
            self._connection = lancedb.connect(
                self._place.tables,
                read_consistency_interval=timedelta(0),
                storage_options=self._place.options,
            )
        return self._connection


def _index_words(table: Table) -> None:
    from lancedb.index import FTS

    table.create_index("caption", config=FTS(with_position=False))


def _schema() -> Any:
    import pyarrow as pa

    texts = ("sha256", "original", "path", "caption", "source", "licence", "near")
    numbers = {"width": pa.int32(), "height": pa.int32(), "dhash": pa.uint64()}
    return pa.schema(
        [pa.field(name, pa.string(), False) for name in texts]
        + [pa.field(name, kind, False) for name, kind in numbers.items()]
    )


def _row(picture: Picture) -> dict[str, Any]:
    caption = picture.caption
    row = {**vars(picture), "caption": caption.text}
    return {**row, "source": caption.source, "licence": caption.licence}


def _picture(row: Mapping[str, Any]) -> Picture:
    caption = Caption(row["caption"], row["source"], row["licence"])
    others = ("sha256", "original", "path", "width", "height", "dhash", "near")
    return Picture(caption=caption, **{name: row[name] for name in others})


def _rows(table: Table, digests: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for part in _parts(digests):
        yield from table.search().where(_among(part)).limit(len(part)).to_list()


def _among(digests: Iterable[str]) -> str:
    """A condition on rows. Digests are hexadecimal, so there is nothing to escape."""
    return f"sha256 IN ({', '.join(repr(digest) for digest in digests)})"


def _parts(digests: Sequence[str]) -> Iterable[Sequence[str]]:
    return (digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE))
