"""A bucket in this process: what TensorStore and fsspec ask of Google Cloud Storage."""

import contextlib
import http.server
import importlib.machinery
import io
import json
import re
import sys
import threading
import types
import urllib.parse
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.spec import AbstractFileSystem


class Bucket:
    """Objects by name; the name of the bucket is their first part.

    Attributes:
        objects: the bytes of each, and its generation.
        error: what every call of fsspec raises instead of an answer.
        refuses: writes raise a `PermissionError`.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.error: Exception | None = None
        self.refuses = False
        self._lock, self._last = threading.Lock(), 0

    def put(self, name: str, data: bytes, condition: str | None = None) -> int | None:
        """Writes an object; returns its generation, None if it does not have the wanted one."""
        with self._lock:
            found = self.objects.get(name, (b"", 0))[1]
            if condition is not None and int(condition) != found:
                return None
            self._last += 1
            self.objects[name] = data, self._last
            return self._last

    def names(self, prefix: str) -> list[str]:
        """The names that begin so."""
        return sorted(name for name in list(self.objects) if name.startswith(prefix))


@contextlib.contextmanager
def fake_bucket() -> Iterator[Bucket]:
    """Lets gs:// stand for a new bucket in this process."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    package = types.ModuleType("gcsfs")
    package.__spec__ = importlib.machinery.ModuleSpec("gcsfs", None)
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "token")
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setitem(sys.modules, "gcsfs", package)
        patch.setattr(
            "orbax.checkpoint._src.path.gcs_utils.is_hierarchical_namespace_enabled",
            lambda _: False,
        )
        patch.setattr(_FileSystem, "bucket", bucket)
        fsspec.register_implementation("gcs", _FileSystem, clobber=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield bucket
        server.shutdown()
        thread.join()


class _FileSystem(AbstractFileSystem):
    """What gcsfs does."""

    protocol = ("gcs", "gs")
    cachable = False
    bucket = Bucket()

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        if self.bucket.error is not None:
            raise self.bucket.error
        path = _name(path)
        found: dict[str, dict[str, Any]] = {}
        if path in self.bucket.objects:
            size = len(self.bucket.objects[path][0])
            found[path] = {"name": path, "size": size, "type": "file"}
        for name in self.bucket.names(f"{path}/"):
            below = name[len(path) + 1 :]
            child = f"{path}/{below.partition('/')[0]}"
            kind = "directory" if "/" in below else "file"
            size = len(self.bucket.objects[name][0])
            found[child] = {"name": child, "size": size, "type": kind}
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def exists(self, path: str, **_: Any) -> bool:
        try:
            return bool(self.ls(path))
        except FileNotFoundError:
            return False

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Does nothing: a bucket has no empty folders."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Does nothing, as `mkdir`."""

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        name = _name(path)
        names = [name] * (name in self.bucket.objects)
        names += self.bucket.names(f"{name}/") if recursive else []
        if not names:
            raise FileNotFoundError(path)
        for found in names:
            del self.bucket.objects[found]

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        # `mv` names folders too.
        if _name(path1) in self.bucket.objects:
            data, _generation = self.bucket.objects[_name(path1)]
            self.bucket.put(_name(path2), data)

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> io.BytesIO:
        if self.bucket.error is not None:
            raise self.bucket.error
        name = _name(path)
        if mode == "rb":
            if name not in self.bucket.objects:
                raise FileNotFoundError(path)
            return io.BytesIO(self.bucket.objects[name][0])
        if self.bucket.refuses:
            raise PermissionError(f"no right to write {path}")
        return _Written(self.bucket, name)


def _name(path: str) -> str:
    return path.removeprefix("gs://").rstrip("/")


class _Written(io.BytesIO):
    """A file that is in the bucket once it is closed."""

    def __init__(self, bucket: Bucket, name: str):
        super().__init__()
        self._bucket, self._name = bucket, name

    def close(self) -> None:
        if not self.closed:
            self._bucket.put(self._name, self.getvalue())
        super().close()


class _Handler(http.server.BaseHTTPRequestHandler):
    """What TensorStore asks for: reads, conditional writes and lists."""

    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""

    def do_GET(self) -> None:
        name, asked = self._asked()
        if name.endswith("/"):
            start, end = asked.get("startOffset", ""), asked.get("endOffset")
            keys = [found[len(name) :] for found in self.bucket.names(name)]
            kept = [key for key in keys if key >= start and (not end or key < end)]
            items = [{"name": key, "generation": "1", "size": "0"} for key in kept]
            self._answer(200, json.dumps({"items": items}).encode())
        elif name not in self.bucket.objects:
            self._answer(404)
        else:
            data, generation = self.bucket.objects[name]
            given = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(given[1]) if given else 0
            part = data[start : int(given[2]) + 1 if given and given[2] else None]
            headers = {"x-goog-generation": str(generation)}
            if given:
                last = start + len(part) - 1
                headers["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
            self._answer(206 if given else 200, part, headers)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        place, asked = self._asked()
        generation = self.bucket.put(place + asked["name"], data, asked.get("ifGenerationMatch"))
        about = {"name": asked["name"], "generation": str(generation), "size": str(len(data))}
        self._answer(200 if generation else 412, json.dumps(about).encode())

    def do_DELETE(self) -> None:
        self.bucket.objects.pop(self._asked()[0], None)
        self._answer(204)

    def _asked(self) -> tuple[str, dict[str, str]]:
        """The name of the object, or that of the bucket and a slash; the options."""
        url = urllib.parse.urlsplit(self.path)
        found = re.fullmatch(r".*?/b/([^/]+)/o(?:/(.*))?", url.path)
        assert found is not None, self.path
        name = f"{found[1]}/{urllib.parse.unquote(found[2] or '')}"
        return name, dict(urllib.parse.parse_qsl(url.query))

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
