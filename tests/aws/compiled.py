"""The template as CloudFormation has it once SAM is translated, and how tests look into it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from tests.aws.tools import ROOT, run

CODE_BUCKET = "irss-code"
Template = dict[str, Any]
Resource = dict[str, Any]


@functools.cache
def compiled_template() -> Template:
    """Return aws/template.yaml in plain CloudFormation; the functions' zips are named in CODE_BUCKET."""
    done = run("sam/bin/python", ROOT / "scripts" / "compile_template.py", "--code-bucket", CODE_BUCKET)
    assert done.returncode == 0, done.stderr
    template: Template = json.loads(done.stdout)
    return template


def resources(kind: str) -> dict[str, Resource]:
    """Return the properties of all resources of a type, by their names."""
    found = compiled_template()["Resources"]
    return {name: each.get("Properties", {}) for name, each in found.items() if each["Type"] == kind}


def named(value: Any) -> str:
    """Return which resource a Ref or GetAtt names."""
    name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    return str(name)


def listed(value: Any) -> list[Any]:
    """Return what may be one thing or a list as a list."""
    return value if isinstance(value, list) else [value]


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement that says what some part of the service may do, after the name of its role."""
    for name, role in resources("AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            yield from ((name, each) for each in policy["PolicyDocument"]["Statement"])
    for name, policy in resources("AWS::IAM::ManagedPolicy").items():
        yield from ((name, each) for each in policy["PolicyDocument"]["Statement"])
