"""The template made ready for CloudFormation: its files in a bucket, as `aws cloudformation package` puts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from irss_core.errors import InputError

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"

Template = dict[str, Any]
Uri = str | dict[str, Any]

_CODE = "CodeUri"
_FILES: Mapping[str, str] = {"AWS::Serverless::Function": _CODE, "AWS::Serverless::StateMachine": "DefinitionUri"}
"""Which property of which type names a folder or a file beside the template."""


def read_template(path: Path = TEMPLATE) -> Template:
    """Return a template as plain data, its short forms (``!Ref``, ``!Sub`` …) written out.

    Raises:
        InputError: it cannot be read, or is no template.
    """
    try:
        read = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  its loader is a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The template {path} cannot be read: {error}") from error
    if not isinstance(read, dict) or not isinstance(read.get("Resources"), dict):
        raise InputError(f"{path} is no template of CloudFormation: it has no Resources.")
    return read


def local_files(template: Template) -> dict[str, str]:
    """Return the folders of code and the files of definitions that a template names, each with what it is for."""
    return {uri: name for _, name, uri in _places(template)}


def packaged(template: Template, upload: Callable[[str, str], str]) -> str:
    """Return the template as JSON, every file that it names replaced by where that was uploaded.

    Args:
        upload: takes a name and what it is for ("CodeUri", "DefinitionUri"), and returns the "s3://bucket/key" of it.
    """
    ready: Template = json.loads(json.dumps(template, default=str))
    for properties, name, uri in _places(ready):
        properties[name] = upload(uri, name)
    return json.dumps(ready, indent=1)


def _places(template: Template) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield each property that names a file beside the template: what it is in, its name, and its value."""
    everywhere = template.get("Globals", {}).get("Function", {})
    if isinstance(everywhere.get(_CODE), str):
        yield everywhere, _CODE, everywhere[_CODE]
    for resource in template["Resources"].values():
        name = _FILES.get(resource.get("Type", ""))
        properties = resource.get("Properties", {})
        uri = properties.get(name) if name else None
        if name and isinstance(uri, str) and not uri.startswith("s3://"):
            yield properties, name, uri


class _Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]  # it has no types of its own
    """Reads CloudFormation's YAML."""


def _long_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)
# A date such as 2010-09-09 is a text to CloudFormation.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
