"""The OpenAPI document: complete, and true of what the server does (schemathesis makes requests of it)."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import booleans
from schemathesis import GenerationMode
from schemathesis.checks import ignored_auth, positive_data_acceptance

from irss_core.api.assembly import ROUTERS, openapi_document
from irss_core.jobs.limits import JobLimits
from irss_core.jobs.options import JobOptions
from tests.made_api import Site, made_site

DOCUMENT = openapi_document()
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
OPERATIONS = [(path, method, each) for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()]
MANY = JobLimits(submissions_per_hour=10**6, submissions_per_day=10**6, submissions_in_flight=10**6)


def test_every_route_is_described() -> None:
    routes = {
        (route.path_format, method.lower())
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in route.methods
    }
    assert {(path, method) for path, method, _ in OPERATIONS} == routes
    assert len(routes) == 19


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[f"{m} {p}" for p, m, _ in OPERATIONS])
def test_an_operation_is_described_whole(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert len({status for status in operation["responses"] if status < "400"}) >= 1
    for status, answer in operation["responses"].items():
        assert answer["description"]
        if status >= "400" and status != "416":
            assert answer["content"] == PROBLEM, status
    assert all(each.get("description") for each in operation.get("parameters", []) if each["in"] == "path")
    if method in ("post", "delete") and path not in ("/verify", "/verify/confirm", "/sign-out", "/objects"):
        assert operation["security"] == [{"session": []}, {"bearer": []}]
        assert {"401", "403"} <= set(operation["responses"])


def test_every_reference_leads_somewhere() -> None:
    for name in re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)):
        assert name in DOCUMENT["components"]["schemas"]
    assert "HTTPValidationError" not in str(DOCUMENT)
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"session", "bearer"}


def test_what_is_sent_has_examples_and_options_say_what_they_do() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("NewUpload", "NewCode", "Confirmation", "JobOptionsBody", "Problem"):
        assert schemas[name]["examples"], name
    options = schemas["JobOptionsBody"]["properties"]
    assert set(options) == {field.name for field in fields(JobOptions)}
    assert all(option["description"] for option in options.values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return made_site(tmp_path_factory.mktemp("api"), limits=MANY)


@pytest.fixture(scope="module")
def described(site: Site) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", site.app)


# An event stream of a job in work does not end; ``test_api_streams`` reads some.
CALLED = [(path, method) for path, method, _ in OPERATIONS if not path.endswith("/events")]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize(("path", "method"), CALLED)
def test_whoever_asks_is_answered_as_described(
    site: Site, described: Any, path: str, method: str, mode: GenerationMode
) -> None:
    """Requests as the document has them, and such as it forbids, of a stranger and of an owner with a job."""
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or len(operation.query)):
        return

    @settings(max_examples=6, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), owner=booleans())
    def ask(case: Any, owner: bool) -> None:
        job = site.submitted()[0]
        for name, value in (("job_id", job.id), ("batch_id", job.batch_id), ("key", job.id)):
            if owner and name in case.path_parameters:
                case.path_parameters[name] = value
        case.call_and_validate(
            headers={"Authorization": f"Bearer {site.token() if owner else 'none'}"},
            # A schema cannot say all: a name's ending, a cursor. And that owners are let in is for other tests.
            excluded_checks=[positive_data_acceptance, ignored_auth],
        )

    ask()
