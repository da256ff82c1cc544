"""The template made ready for CloudFormation: its short forms, its files, its parameters."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from aws.ops.deployment import zip_folder
from aws.ops.stack import Stack, check_name
from aws.ops.template import local_files, packaged, read_template
from aws.ops.wishes import Wishes, value_of, wishes_of
from aws.packages import PACKAGES
from irss_core.errors import InputError, InvalidOptionError

SHORT_FORMS = """
AWSTemplateFormatVersion: 2010-09-09
Resources:
  Thing:
    Type: AWS::Serverless::Function
    Properties:
      Arn: !GetAtt Other.Arn.Deep
      List: !GetAtt [Other, Arn]
      Text: !Sub "${A}-${B}"
      Pair: !Sub ["${A}", {A: !Ref B}]
      If: !If [Is, !Ref A, !Ref "AWS::NoValue"]
      Is: !Condition Is
      Twice: &twice {Name: x}
      Again: *twice
      When: 2012-10-17
"""


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return read_template(path)


def stack(**parameters: str) -> Stack:
    return Stack("irss", "arn", "CREATE_COMPLETE", "", parameters, {})


def test_short_forms_are_written_out(tmp_path: Path) -> None:
    template = read(tmp_path, SHORT_FORMS)
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    properties = template["Resources"]["Thing"]["Properties"]  # type: ignore[index]
    assert properties == {
        "Arn": {"Fn::GetAtt": ["Other", "Arn.Deep"]},
        "List": {"Fn::GetAtt": ["Other", "Arn"]},
        "Text": {"Fn::Sub": "${A}-${B}"},
        "Pair": {"Fn::Sub": ["${A}", {"A": {"Ref": "B"}}]},
        "If": {"Fn::If": ["Is", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]},
        "Is": {"Condition": "Is"},
        "Twice": {"Name": "x"},
        "Again": {"Name": "x"},
        "When": "2012-10-17",
    }


@pytest.mark.parametrize("text", ["", "a: [", "Resources: 3", "just words"])
def test_what_is_no_template_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"template\.yaml"):
        read(tmp_path, text)


def test_a_template_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_template(tmp_path / "none.yaml")


def test_every_file_of_the_real_template_is_uploaded_once_and_named() -> None:
    template = read_template()
    sent: list[tuple[str, str]] = []

    def upload(uri: str, kind: str) -> str:
        sent.append((uri, kind))
        return f"s3://bucket/{Path(uri).name}"

    ready = json.loads(packaged(template, upload))
    assert {uri for uri, _ in sent} == local_files(template).keys()
    assert {Path(uri).name for uri, kind in sent if kind == "CodeUri"} == PACKAGES.keys()
    assert [uri for uri, kind in sent if kind == "DefinitionUri"] == ["pipeline.asl.json"]
    functions = [each for each in ready["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]
    codes = {each["Properties"].get("CodeUri", ready["Globals"]["Function"]["CodeUri"]) for each in functions}
    assert codes == {"s3://bucket/control", "s3://bucket/media"}
    assert "../build" not in json.dumps(ready)
    assert template["Globals"]["Function"]["CodeUri"].startswith("../"), "the template itself is left as it is"


def test_the_same_files_make_the_same_zip(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "b.py").write_text("b = 1")
    (folder / "a.py").write_text("a = 1")
    zip_folder(folder, tmp_path / "one.zip")
    (folder / "a.py").touch()
    zip_folder(folder, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["a.py", "deep/b.py"]
        assert archive.getinfo("a.py").external_attr >> 16 & 0o444 == 0o444, "Lambda's user reads it"


# What is wished.

PARAMETERS = {
    "Parameters": {
        "Email": {"Type": "String"},
        "Site": {"Type": "String", "Default": "cloudfront", "AllowedValues": ["cloudfront", "none"]},
        "LogDays": {"Type": "Number", "Default": 30, "AllowedValues": [7, 30]},
        "WebOrigins": {"Type": "CommaDelimitedList", "Default": ""},
    },
    "Resources": {},
}


def test_wishes_are_parameters_as_texts() -> None:
    named = {"Email": "a@b.c", "Site": None, "WebOrigins": ["https://a", "https://b"]}
    wishes = wishes_of(PARAMETERS, named=named, others=["LogDays=7"], before=None)
    assert wishes.parameters == {"Email": "a@b.c", "WebOrigins": "https://a,https://b", "LogDays": "7"}


def test_a_value_may_hold_an_equals_sign() -> None:
    assert wishes_of(PARAMETERS, named={}, others=["Email=a=b@c.d"], before=None).parameters["Email"] == "a=b@c.d"


def test_what_the_stack_has_already_need_not_be_given_again() -> None:
    assert wishes_of(PARAMETERS, named={}, others=[], before=stack(Email="a@b.c")) == Wishes({})


@pytest.mark.parametrize(
    ("named", "others", "words"),
    [
        ({}, [], "--email you@example.org"),
        ({"Email": "a@b.c", "Site": "moon"}, [], "It takes cloudfront, none"),
        ({"Email": "a@b.c"}, ["LogDays=8"], "It takes 7, 30"),
        ({"Email": "a@b.c"}, ["Nothing=1"], "one of: Email, Site"),
        ({"Email": "a@b.c"}, ["LogDays"], "NAME=VALUE"),
        ({"Email": "a@b.c", "GpuInstanceType": "g5.xlarge"}, [], "no parameter GpuInstanceType"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_done(
    named: dict[str, object], others: list[str], words: str
) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        wishes_of(PARAMETERS, named=named, others=others, before=None)


def test_a_value_is_as_wished_else_as_it_is_else_as_the_template_has_it() -> None:
    now = stack(Site="none")
    assert value_of("Site", template=PARAMETERS, wishes=Wishes({"Site": "cloudfront"}), before=now) == "cloudfront"
    assert value_of("Site", template=PARAMETERS, wishes=Wishes(), before=now) == "none"
    assert value_of("LogDays", template=PARAMETERS, wishes=Wishes(), before=now) == "30"
    assert value_of("Unknown", template=PARAMETERS, wishes=Wishes(), before=None) == ""


def test_every_option_of_deploy_is_a_parameter_of_the_template() -> None:
    wished = [
        *("Email", "ImageUri", "MailIdentity", "Site", "DomainName", "CertificateArn", "HostedZoneId", "WebOrigins"),
        *("EventsEmail", "MaxWorkers", "GpuInstanceType", "WorkerCpu", "WorkerArchitecture"),
    ]
    assert set(wished) <= read_template()["Parameters"].keys()


@pytest.mark.parametrize("name", ["irss", "a1", "irss-eu-2", "a" * 28])
def test_names_of_stacks(name: str) -> None:
    assert check_name(name) == name
    assert len(f"{name}-deploy-123456789012-ap-southeast-1") <= 63


@pytest.mark.parametrize("name", ["", "a", "Irss", "1irss", "irss-", "irss_eu", "a" * 29, "irss/../x"])
def test_what_is_no_name_of_a_stack(name: str) -> None:
    with pytest.raises(InvalidOptionError, match="28 lower-case letters"):
        check_name(name)
