"""Where a library lies: in a folder, or on object storage with a folder as its cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sport.blobs import BlobStore
from sport.library.records import LibraryError
from sport.types import File

_AT_A_TIME = 8
"""Pictures that are fetched or sent at a time."""


class Place(Protocol):
    """Where a library lies.

    Attributes:
        name: What users call it.
        folder: The folder, or that of the cache: blobs and written captions lie in it.
        tables: Path or address of the tables.
        options: What LanceDB needs to know beside that.
        blobs: Pictures that are on this machine.
    """

    name: str
    folder: Path
    tables: str
    options: dict[str, str]
    blobs: BlobStore

    def exists(self) -> bool:
        """Whether there may be tables."""
        ...

    def keep(self, digests: Sequence[str]) -> None:
        """Puts pictures out of ``blobs`` where the library lies, before rows name them."""
        ...

    def fetch(self, files: Sequence[File]) -> None:
        """Makes pictures of the library files in ``blobs``."""
        ...

    def locked(self) -> Any:
        """A context that keeps other processes from filling the library."""
        ...

    def bytes(self) -> int:
        """Size of all that the library holds."""
        ...


def place(where: Path | str) -> Place:
    """The place that a path or an address means.

    Raises:
        LibraryError: It is an address of another kind than ``s3://bucket/prefix``.
    """
    if not re.match(r"\w+:/", str(where)):
        return Folder(Path(where).absolute())
    found = re.fullmatch(r"s3:/{1,2}([^/]+)/(.*[^/])/*", str(where))  # A path lost a slash.
    if found is None:
        raise LibraryError(
            f"{where} is no place for a library. Give a folder, or s3://BUCKET/PREFIX."
        )
    return Bucket(found[1], found[2])


class Folder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        """The folder need not exist.

        Raises:
            LibraryError: There is something else in its place.
        """
        self.name, self.folder = str(folder), folder
        self.tables = str(folder / "tables")
        self.options: dict[str, str] = {}
        self.blobs = BlobStore(folder / "blobs")
        if Path(self.tables).exists() and not Path(self.tables).is_dir():
            raise LibraryError(f"{self.tables} is not a folder. Give the library another one.")

    def exists(self) -> bool:
        """Whether tables were made."""
        return Path(self.tables).is_dir()

    def keep(self, digests: Sequence[str]) -> None:
        """They lie there already."""

    def fetch(self, files: Sequence[File]) -> None:
        """They lie there already."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds a lock that ends with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "library.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LibraryError(
                    f"{self.folder} is being filled by another process. Wait for it or stop it; "
                    "searching works meanwhile."
                ) from None
            yield
        finally:
            os.close(handle)

    def bytes(self) -> int:
        """The sum over its files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


class Bucket:
    """A prefix in a bucket of S3 or of a server that speaks its protocol.

    Keys, region and endpoint come from the variables that AWS's own tools read.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        """Connects when something is asked for."""
        self.name = f"s3://{bucket}/{prefix}"
        self._root = f"{bucket}/{prefix}"
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        digest = hashlib.sha256(f"{endpoint} {self.name}".encode()).hexdigest()
        self.folder = cache / "sport" / "library" / digest[:16]
        self.tables = f"{self.name}/tables"
        self.options = {"connect_timeout": "5s", "timeout": "60s", "client_max_retries": "2"}
        if endpoint.startswith("http://"):
            self.options["allow_http"] = "true"
        self.blobs = BlobStore(self.folder / "blobs")
        self._system: Any = None

    def exists(self) -> bool:
        """Whether the bucket answers; it is looked into for tables then."""
        from pyarrow.fs import FileType

        with self._told():
            [bucket] = self._files().get_file_info([self._root.partition("/")[0]])
        if bucket.type == FileType.NotFound:
            raise LibraryError(f"{self.name}: there is no such bucket. Make it first.")
        return True

    def keep(self, digests: Sequence[str]) -> None:
        """Sends pictures."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(self._send, digests))

    def fetch(self, files: Sequence[File]) -> None:
        """Fetches those that are not in the cache.

        Raises:
            LibraryError: One is missing, or is not what its address promises.
        """
        lacking = {file.sha256: file for file in files if not file.path.is_file()}
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(self._fetch, lacking.values()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds a table that only one process can make. Killed, it leaves it behind."""
        import lancedb

        holder = f"process {os.getpid()} on {socket.gethostname()}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.exists()
        with self._told():
            database = lancedb.connect(f"{self.name}/lock", storage_options=self.options)
            try:
                database.create_table("held", data=[{"holder": holder}], mode="create")
            except (ValueError, RuntimeError, OSError) as error:
                if "exists" not in str(error):
                    raise
                raise LibraryError(
                    f"{self.name} is being filled by {self._holder(database)}. Wait for it. If it "
                    f"was killed, delete all below {self.name}/lock/ and try again; searching "
                    "works meanwhile."
                ) from None
        try:
            yield
        finally:
            with self._told():
                database.drop_table("held")

    def bytes(self) -> int:
        """The sum over a listing."""
        from pyarrow.fs import FileSelector

        with self._told():
            found = self._files().get_file_info(FileSelector(self._root, recursive=True))
        return sum(file.size or 0 for file in found)

    def _holder(self, database: Any) -> str:
        try:
            return str(database.open_table("held").to_arrow()["holder"][0].as_py())
        except (ValueError, RuntimeError, OSError, IndexError):
            return "another process"  # It is just done, or has just begun.

    def _send(self, digest: str) -> None:
        data = (self.blobs.folder / digest[:2] / digest).read_bytes()
        with self._told(), self._files().open_output_stream(self._key(digest)) as stream:
            stream.write(data)

    def _fetch(self, file: File) -> None:
        with self._told():
            try:
                with self._files().open_input_stream(self._key(file.sha256)) as stream:
                    data = stream.read()
            except FileNotFoundError:
                raise LibraryError(
                    f"{self.name} lacks the picture {file.source!r} ({self._key(file.sha256)}). "
                    "Put that object back."
                ) from None
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise LibraryError(
                f"The picture {file.source!r} was changed on the storage: "
                f"s3://{self._key(file.sha256)} has another SHA-256 than its name says. Put the "
                "right bytes back."
            )
        self.blobs.put(data, file.name, file.media_type, file.source)

    def _key(self, digest: str) -> str:
        return f"{self._root}/blobs/{digest[:2]}/{digest}"

    def _files(self) -> Any:
        if self._system is None:
            from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

            self._system = S3FileSystem(
                endpoint_override=os.environ.get("AWS_ENDPOINT_URL"),
                region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
                connect_timeout=5,
                request_timeout=60,
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
            )
        return self._system

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says in one sentence what storage fails with."""
        try:
            yield
        except (OSError, RuntimeError) as error:  # LanceDB knows only the second.
            if isinstance(error, LibraryError):
                raise
            said = str(error).splitlines()[0][:300]
            raise LibraryError(
                f"{self.name} cannot be reached or used: {said}. Look at AWS_ENDPOINT_URL, "
                "AWS_REGION and the AWS keys in the environment."
            ) from None
