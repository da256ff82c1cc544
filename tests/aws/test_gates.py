"""The checks of others: AWS's own of the template, of the state machine's definition, and of security."""

from __future__ import annotations

import json
import re

from tests.aws.tools import PIPELINE, TEMPLATE, run, tool

_SKIPPED = re.compile(r"# checkov:skip=(?P<check>\w+):(?P<reason>.*)")
_RESOURCE = re.compile(r"  (\w+):")


def test_cfn_lint() -> None:
    done = run("sam/bin/cfn-lint", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sam_validate() -> None:
    done = run("sam/bin/sam", "validate", "--lint", "--template", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_asl_validator() -> None:
    tool("npm/node_modules")
    done = run("npm/node_modules/.bin/asl-validator", "--json-path", PIPELINE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_finds_nothing_but_what_is_meant_so() -> None:
    scan = ("--framework", "cloudformation", "--file", TEMPLATE, "--skip-download", "--compact", "--output", "json")
    done = run("checkov/bin/checkov", *scan)
    found = json.loads(done.stdout)["results"]
    assert [(each["check_id"], each["resource"]) for each in found["failed_checks"]] == []
    assert not found["parsing_errors"]
    skipped = {(each["check_id"], each["resource"].partition(".")[2]) for each in found["skipped_checks"]}
    assert skipped == set(_suppressions()), "a suppression of what checkov does not look at is not needed"


def test_every_suppression_says_why() -> None:
    reasons = _suppressions()
    assert reasons
    assert {place: reason for place, reason in reasons.items() if len(reason) < 30} == {}


def _suppressions() -> dict[tuple[str, str], str]:
    """The reason of each check that is skipped, by its name and the resource's."""
    found, resource = {}, ""
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        if begun := _RESOURCE.match(line):
            resource = begun[1]
        if skipped := _SKIPPED.search(line):
            found[skipped["check"], resource] = skipped["reason"].strip()
    return found
