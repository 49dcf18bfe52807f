"""A server on the loopback that speaks as much of the protocol of S3 as a library needs."""

import hashlib
import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class StorageServer:
    """Objects of one bucket, in memory. Used as a context; signatures are not checked."""

    def __init__(self, bucket: str = "bucket") -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.reads: list[str] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"held": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "StorageServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: StorageServer

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        query = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        body = self._body()
        if bucket != self.held.bucket:
            return self._fail(404, "NoSuchBucket")
        with self.held.lock:
            if key:
                getattr(self, f"_{self.command.lower()}")(key, query, body)
            elif "delete" in query:
                names = [n.decode() for n in re.findall(rb"<Key>(.*?)</Key>", body)]
                for name in names:
                    self.held.objects.pop(unescape(name), None)
                gone = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
                self._answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())
            elif self.command == "GET":
                self._list(query)
            else:
                self._answer(200)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _get(self, key: str, query: dict[str, str], body: bytes) -> None:
        data = self.held.objects.get(key)
        if data is None:
            return self._fail(404, "NoSuchKey")
        if self.command == "GET":
            self.held.reads.append(key)
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return self._answer(200, data, tag=data)
        first, last = found.groups()
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(int(last) + 1 if first and last else len(data), len(data))
        if start >= len(data):
            return self._fail(416, "InvalidRange")
        extra = {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        self._answer(206, data[start:end], data, extra)

    _head = _get

    def _put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "partNumber" in query:
            self.held.parts[query["uploadId"]][int(query["partNumber"])] = body
            return self._answer(200, tag=body)
        if self.headers.get("If-None-Match") == "*" and key in self.held.objects:
            return self._fail(412, "PreconditionFailed")
        source = unquote(self.headers.get("x-amz-copy-source", "")).lstrip("/").partition("/")[2]
        self.held.objects[key] = self.held.objects[source] if source else body
        self._answer(200, b"<CopyObjectResult/>" if source else b"", self.held.objects[key])

    def _post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = str(len(self.held.parts))
            self.held.parts[upload] = {}
            name = "InitiateMultipartUploadResult"
        else:
            upload = query["uploadId"]
            self.held.objects[key] = b"".join(p for _, p in sorted(self.held.parts[upload].items()))
            name = "CompleteMultipartUploadResult"
        text = (
            f"<{name}><Bucket>{self.held.bucket}</Bucket><Key>{escape(key)}</Key>"
            f'<UploadId>{upload}</UploadId><ETag>"x"</ETag></{name}>'
        )
        self._answer(200, text.encode())

    def _delete(self, key: str, query: dict[str, str], body: bytes) -> None:
        self.held.objects.pop(key, None)
        self._answer(204)

    def _list(self, query: dict[str, str]) -> None:
        prefix, cut = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("start-after", "")
        rows, folders = [], set()
        for key, data in sorted(self.held.objects.items()):
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            if cut and cut in rest:
                folders.add(prefix + rest.partition(cut)[0] + cut)
                continue
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
                f'<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"{_tag(data)}"</ETag>'
                "</Contents>"
            )
        below = "".join(
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>"
            for f in sorted(folders)
        )
        text = (
            f"<ListBucketResult><Name>{self.held.bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(rows) + len(folders)}</KeyCount><MaxKeys>100000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{''.join(rows)}{below}</ListBucketResult>"
        )
        self._answer(200, text.encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(self.rfile)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(io.BytesIO(body))
        return body

    def _fail(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self._answer(status, text.encode())

    def _answer(
        self,
        status: int,
        data: bytes = b"",
        tag: bytes | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(data)), "Last-Modified": DATE, **(extra or {})}
        if tag is not None:
            headers["ETag"] = f'"{_tag(tag)}"'
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _unchunked(stream: IO[bytes]) -> bytes:
    """A body in chunks, each after its length; lines with checksums may come at the end."""
    data = b""
    while size := int(stream.readline().partition(b";")[0], 16):
        data += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return data
