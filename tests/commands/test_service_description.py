"""The OpenAPI document of a service: it has every route, and its examples are answered."""

from typing import Any

import pytest

from flax_transformer.serving.limits import LimitsConfig

REASON = "needs the extra serve, and httpx"
pytest.importorskip("httpx", reason=REASON)
testclient: Any = pytest.importorskip("starlette.testclient", reason=REASON)
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
LIMITS = LimitsConfig()
KINDS = {
    "all": ("run", "texts", "masked", "images", "videos", "language_model"),
    "images": ("images",),
    "videos": ("videos",),
}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def client(request, folder, trained, untrained):
    """A service of models of all kinds, or of one."""
    workdirs = [folder / name for name in KINDS[request.param]]
    models, routes = service.open_models(workdirs, "average", None, LIMITS)
    app = application.make_application(models, routes, LIMITS)
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def document(client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_the_document_is_valid(document):
    validator = pytest.importorskip("openapi_spec_validator", reason="needs openapi-spec-validator")
    validator.validate(document)


def test_every_route_is_described(client, document):
    described = {(path, method.upper()) for path, method, _ in operations(document)}
    assert described == {(route.path, route.method) for route in client.app.routes}
    identifiers = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    for path, method, operation in operations(document):
        assert operation["summary"].endswith("."), (path, method)


def test_every_example_is_answered_as_described(client, document):
    answered = set()
    for path, method, operation in operations(document):
        if "200" not in operation["responses"]:
            continue
        (kind,) = operation["responses"]["200"]["content"]
        if method == "post":
            example = operation["requestBody"]["content"]["application/json"]["example"]
            answer = client.post(path, json=example)
        else:
            given = operation.get("parameters", [])
            answer = client.get(path, params={one["name"]: one["example"] for one in given})
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["content-type"].startswith(kind), path
        if kind == "application/json":
            assert_fits(answer.json(), operation["responses"]["200"]["content"][kind]["schema"])
        answered.add(path)
    assert {"/health", "/openapi.json", "/classify"} <= answered


def assert_fits(value: Any, schema: Any) -> None:
    """A value has the form of a schema, as far as the service uses schemas."""
    if "oneOf" in schema:
        assert any(fits(value, one) for one in schema["oneOf"])
        return
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kinds["null"] = type(None)
    assert isinstance(value, kinds.get(schema["type"], int | float))
    if isinstance(value, list):
        for item in value:
            assert_fits(item, schema["items"])
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", [])) <= value.keys()
        for name, one in value.items():
            inner = properties.get(name, schema.get("additionalProperties"))
            if inner is not None:
                assert_fits(one, inner)


def fits(value: Any, schema: Any) -> bool:
    try:
        assert_fits(value, schema)
    except AssertionError:
        return False
    return True


def test_what_is_required_is_missed(client, document):
    """A request without its required fields is refused, and one without the others is answered."""
    content = document["paths"]["/classify"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    example = content["application/json"]["example"]
    fields = {name: value for name, value in example.items() if name in schema["required"]}
    assert client.post("/classify", json={}).status_code == 422
    given = {next(iter(example)): next(iter(example.values())), **fields}
    assert client.post("/classify", json=given).status_code == 200
    assert "model" not in given


def test_a_key_is_in_the_document(folder, trained):
    models, routes = service.open_models([folder / "run"], "average", None, LIMITS)
    with testclient.TestClient(application.make_application(models, routes, LIMITS, "k")) as client:
        document = client.get("/openapi.json").json()
    assert document["security"] == [{"key": []}]
    assert "401" in document["paths"]["/translate"]["post"]["responses"]
