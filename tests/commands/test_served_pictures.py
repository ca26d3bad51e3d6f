"""Images and videos of requests: the answers of the command, and what is refused."""

import asyncio
import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flax_transformer as ft
from flax_transformer.serving.limits import LimitsConfig, RequestError

REASON = "needs the extra serve, and httpx"
pytest.importorskip("httpx", reason=REASON)
testclient: Any = pytest.importorskip("starlette.testclient", reason=REASON)
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
LIMITS = LimitsConfig(body_bytes=3000, file_bytes=400_000, pixels=500_000, texts=5)


@pytest.fixture(scope="module")
def client(folder, untrained):
    """A service of classifiers of images, of videos and of texts."""
    workdirs = [folder / name for name in ("images", "videos", "texts")]
    models, routes = service.open_models(workdirs, "average", None, LIMITS)
    app = application.make_application(models, routes, LIMITS)
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Images of several formats, sizes, modes and orientations."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (83, 131, 3), np.uint8))
    gray = Image.fromarray(rng.integers(0, 256, (7, 5), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    color.save(folder / "large.jpg", exif=turned)
    color.convert("RGBA").save(folder / "color.png")
    gray.save(folder / "gray.webp", lossless=True)
    Image.fromarray(rng.integers(0, 65536, (9, 11), np.uint16)).save(folder / "deep.png")
    return sorted(folder.iterdir())


def in_base64(contents: bytes) -> str:
    return base64.b64encode(contents).decode()


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def assert_equal(answer: Any, expected: Any) -> None:
    assert answer["label"] == expected.label
    assert answer["probabilities"] == pytest.approx(expected.probabilities, rel=1e-4)


def test_images_have_the_classes_of_the_command(client, run, folder, files):
    lines = run("classify", "--workdir", "images", *map(str, files)).out.splitlines()
    sent = [in_base64(path.read_bytes()) for path in files]
    answers = client.post("/classify", json={"images": sent}).json()["answers"]
    assert [one["label"] for one in answers] == [line.split("\t")[0] for line in lines]
    for one, expected in zip(
        answers, ft.load(folder / "images").classify([*map(str, files)]), strict=True
    ):
        assert_equal(one, expected)


def test_a_body_may_be_the_file(client, folder, files):
    expected = ft.load(folder / "images").classify([str(files[1])])[0]
    answer = client.post(
        "/classify",
        params={"model": "images"},
        content=files[1].read_bytes(),
        headers={"content-type": "image/png"},
    )
    assert_equal(answer.json()["answers"][0], expected)


def test_a_clip_has_the_class_of_the_command(client, folder):
    path = folder / "frames.png"
    expected = ft.load(folder / "videos").classify([str(path)])[0]
    asked = {"videos": in_base64(path.read_bytes())}
    assert_equal(client.post("/classify", json=asked).json()["answers"][0], expected)


def test_the_fields_of_a_request_tell_its_model(client, folder):
    answers = client.post("/classify", json={"texts": "two"}).json()["answers"]
    assert_equal(answers[0], ft.load(folder / "texts").classify(["two"])[0])


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({}, 422, "model is missing: give one of images, videos, texts"),
        ({"model": "images"}, 422, "images is missing: give a file in base64, a list"),
        ({"images": 3}, 422, "images holds 3: give a file in base64"),
        ({"images": "a b"}, 422, "images is not base64"),
        ({"images": in_base64(b"GIF89a")}, 415, "a file of 6 bytes is not an image"),
        ({"images": in_base64(b"\x93NUMPY" + bytes(90))}, 415, "is not an image: send a PNG, JPEG"),
        ({"videos": in_base64(b"\0\0\0\x20ftypisom")}, 415, "send a GIF, WebP or PNG with several"),
        ({"images": ""}, 415, "a file of 0 bytes is not an image"),
        ({"images": in_base64(png(90, 90)[:-20])}, 422, "cannot read a file of"),
        ({"images": in_base64(png(1000, 501))}, 413, "more than 500,000 pixels: make them smaller"),
        ({"images": [in_base64(png(600, 500))] * 2}, 413, "more than 500,000 pixels"),
        ({"images": in_base64(png(20_000, 20_000))}, 413, "an image is too large"),
        ({"images": [in_base64(png(3, 3))] * 6}, 413, "6 images are more than 5"),
        ({"images": in_base64(bytes(400_000))}, 413, "the body has more than 400,000 bytes"),
        ({"texts": "a" * 5000}, 413, "the texts have more than 3,000 characters"),
        ({"texts": "a", "model": "images"}, 422, "images is missing"),
    ],
)
def test_a_bad_picture_gets_a_reason(client, fields, status, reason):
    answer = client.post("/classify", content=json.dumps(fields))
    assert reason in answer.json().get("error", "")
    assert answer.status_code == status


def test_another_body_is_refused(client):
    answer = client.post("/classify", content=b"a", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "send JSON or an image" in answer.json()["error"]
    sent = {"images": in_base64(png(3, 3))}
    assert client.post("/fill", json=sent).status_code == 404


def test_files_are_decoded_outside_of_the_event_loop(folder, untrained, monkeypatch):
    """While files are decoded the event loop goes on, and only so many requests hold theirs."""
    models, _ = service.open_models([folder / "images"], "average", None, LIMITS)
    (model,) = models
    may_end, threads = threading.Event(), []

    def decode(files):
        threads.append(threading.current_thread())
        assert may_end.wait(20)
        return files

    async def ask_many() -> list[Any]:
        asked = [model.inputs_of({"file": b"a"}) for _ in range(70)]
        waiting = [asyncio.ensure_future(one) for one in asked]
        await asyncio.sleep(0.05)
        may_end.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    monkeypatch.setattr(model, "_decode", decode)
    answers = asyncio.run(ask_many())
    model.close()
    refused = [one for one in answers if isinstance(one, RequestError)]
    assert [one.status for one in refused] == [429] * 6
    assert answers.count([b"a"]) == 64
    assert threading.main_thread() not in threads
