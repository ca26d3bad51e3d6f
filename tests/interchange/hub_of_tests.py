"""A server on this machine with the few addresses of the Hub by which a model is fetched."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

COMMIT = "31" * 20
ERRORS = {
    "none": (404, "RepoNotFound"),
    "gated": (403, "GatedRepo"),
    "model/revision/old": (404, "RevisionNotFound"),
    "broken": (500, ""),
}


class Hub(BaseHTTPRequestHandler):
    """Serves the files of a folder as each model of the owner `small`.

    Attributes:
        folder: its files.
        asked: paths of the files that were asked for.
    """

    folder: ClassVar[Path] = Path()
    asked: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for part, (code, name) in ERRORS.items():
            if f"/small/{part}" in path:
                return self.answer(b"{}", code, {"X-Error-Code": name})
        if "/tree/" in path:
            return self.answer(json.dumps([self.entry(file) for file in self.files()]).encode())
        if path.startswith("/api/"):
            return self.answer(json.dumps({"id": "small/model", "sha": COMMIT}).encode())
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        self.asked.add(name)
        content = (self.folder / name).read_bytes()
        return self.answer(content, 200, {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def entry(self, file: Path) -> dict[str, object]:
        path = file.relative_to(self.folder).as_posix()
        return {"type": "file", "path": path, "size": file.stat().st_size, "oid": "0" * 40}

    def answer(
        self, content: bytes, code: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": f"{len(content)}", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""
