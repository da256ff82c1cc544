"""Writes aws/template.yaml as plain CloudFormation, translated by AWS's own translator without AWS.

    .aws-tools/sam/bin/python scripts/compile_template.py --code-bucket BUCKET > template.json

CloudFormation itself translates what is deployed; this is for tests, and for emulators that do not. The state machine's
definition is put in, and the functions' folders become the zips `BUCKET/control.zip` and `BUCKET/media.zip`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

AWS = Path(__file__).resolve().parent.parent / "aws"
_REGION = "us-east-1"  # of nothing that is written: the translator only wants to know whether it is in China


def compiled(template: Path, *, code_bucket: str) -> dict[str, Any]:
    """Return the template at that path as CloudFormation has it, its local files put in or named in a bucket."""
    os.environ.setdefault("AWS_DEFAULT_REGION", _REGION)
    from samtranslator.parser.parser import Parser  # type: ignore[import-not-found,unused-ignore]
    from samtranslator.translator.translator import Translator  # type: ignore[import-not-found,unused-ignore]
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-not-found,unused-ignore]

    wanted = yaml_parse(template.read_text(encoding="utf-8"))
    _name_code(wanted["Globals"]["Function"], code_bucket)
    for resource in wanted["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function" and "CodeUri" in properties:
            _name_code(properties, code_bucket)
        if "DefinitionUri" in properties:
            definition = template.parent / properties.pop("DefinitionUri")
            properties["Definition"] = json.loads(definition.read_text(encoding="utf-8"))
    translated: dict[str, Any] = Translator({}, Parser()).translate(wanted, parameter_values={})
    return translated


def _name_code(properties: dict[str, Any], bucket: str) -> None:
    folder = PurePosixPath(properties["CodeUri"])
    properties["CodeUri"] = {"Bucket": bucket, "Key": f"{folder.name}.zip"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write aws/template.yaml as plain CloudFormation, in JSON.")
    parser.add_argument("--code-bucket", required=True, help="the bucket of the functions' zips")
    parser.add_argument("--template", type=Path, default=AWS / "template.yaml", help="default: aws/template.yaml")
    wanted = parser.parse_args()
    json.dump(compiled(wanted.template, code_bucket=wanted.code_bucket), sys.stdout, indent=1)
