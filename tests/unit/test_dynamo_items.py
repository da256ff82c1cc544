"""Jobs, batches and mails as items of DynamoDB, and back; and what the table's keys are for."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irss_core.adapters.aws.items import (
    Item,
    attribute,
    batch_item,
    batch_of,
    job_item,
    job_of,
    job_place_item,
    mail_item,
    mail_of,
    plain,
)
from irss_core.adapters.aws.table import FIRST_JOB, LAST_JOB, TABLE, batch_key, job_key, place_of_job
from irss_core.jobs.job import Batch, Job, JobStatus, Mail, MailState
from irss_core.jobs.options import JobOptions, Stage

texts = st.text(max_size=30)
ids = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.floats(1e-6, 4e9)
counts = st.integers(0, 2**53 + 1)
# DynamoDB's numbers are 0, or between 1e-130 and 1e126.
numbers = st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100) | st.just(0.0)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
options = st.builds(
    JobOptions,
    preset=st.sampled_from(["upscale", "filters"]),
    outscale=st.none() | st.floats(1, 16),
    greyscale=st.booleans(),
    sharpen=st.floats(0, 3),
    width=st.none() | st.integers(1, 16_384),
)
jobs = st.builds(
    Job,
    id=ids,
    batch_id=ids,
    owner=ids,
    number=st.integers(1, 500),
    name=texts,
    input_key=texts,
    input_bytes=counts,
    options=options,
    created_at=times,
    updated_at=times,
    status=st.sampled_from(JobStatus),
    stage=st.none() | st.sampled_from(Stage),
    attempt=counts,
    progress=numbers,
    remaining_s=st.none() | numbers,
    cancel_requested=st.booleans(),
    error_code=st.none() | texts,
    error=st.none() | texts,
    outputs=st.dictionaries(texts, texts, max_size=3),
    facts=st.dictionaries(texts, json_values, max_size=3),
    started_at=st.none() | times,
    finished_at=st.none() | times,
)
batches = st.builds(Batch, ids, owner=ids, address=texts, created_at=times, jobs=counts, open_jobs=counts, mails=counts)
mails = st.builds(
    Mail,
    ids,
    batch_id=ids,
    created_at=times,
    updated_at=times,
    state=st.sampled_from(MailState),
    attempt=counts,
    resent=st.booleans(),
    answer=st.none() | texts,
)
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def stored(item: Item) -> Item:
    """What DynamoDB gives back: a number is written anew, in its shortest form, from at most 38 digits."""

    def number(text: str) -> str:
        value = Decimal(text)
        assert len(value.as_tuple().digits) <= 38
        assert value == 0 or Decimal("1e-130") <= abs(value) < Decimal("1e126")
        return f"{value.normalize():f}" if abs(value) < 10**30 else str(value.normalize())

    return {name: {"N": number(value["N"])} if "N" in value else value for name, value in item.items()}


def assert_same(read: Any, written: Any) -> None:
    assert read == written
    for each in fields(written):
        assert type(getattr(read, each.name)) is type(getattr(written, each.name)), each.name


@quick
@given(jobs)
def test_a_job_is_read_as_it_was_written(job):
    assert_same(job_of(stored(job_item(job))), job)


@quick
@given(batches)
def test_a_batch_is_read_as_it_was_written(batch):
    assert_same(batch_of(stored(batch_item(batch))), batch)


@quick
@given(mails)
def test_a_mail_is_read_as_it_was_written(mail):
    assert_same(mail_of(stored(mail_item(mail))), mail)


@quick
@given(jobs)
def test_what_is_none_is_not_there_so_that_a_change_to_none_removes_it(job):
    item = job_item(job)
    assert ("remaining_s" in item) == (job.remaining_s is not None)
    assert all(value is not None for typed in item.values() for value in typed.values())


@given(st.lists(st.tuples(st.integers(0, 4 * 10**15), ids, st.integers(1, 500)), unique=True))
@quick
def test_places_are_in_the_order_of_the_listing(entries):
    at = {place_of_job(micros / 1e6, batch, number): (-micros, batch, number) for micros, batch, number in entries}
    assert len(at) == len(entries)
    assert [at[place] for place in sorted(at)] == sorted(at.values())


@given(ids, st.lists(st.integers(1, 99_999), unique=True))
@quick
def test_in_its_partition_a_batch_comes_first_and_then_its_jobs_by_number(batch_id, numbers):
    keys = sorted([job_key(batch_id, number)["sk"] for number in numbers])
    assert keys == [job_key(batch_id, number)["sk"] for number in sorted(numbers)]
    assert all(batch_key(batch_id)["sk"] < FIRST_JOB < key < LAST_JOB for key in keys)


@given(jobs)
@quick
def test_an_index_orders_a_job_by_when_it_was_written_until_it_is_finished(job):
    item = job_item(job)
    finished = job.finished_at if job.status is not JobStatus.NOT_PROCESSED else None
    assert item["in_state"] == {"S": str(job.status.value)}
    assert float(item["since"]["N"]) == (job.updated_at if finished is None else finished)


def test_a_place_leads_to_the_job_and_no_index_lists_it():
    job = Job("b" * 64, "c" * 64, "a" * 64, 7, "a.png", "uploads/x", 1, JobOptions(), 1.0, 1.0)
    item = job_place_item(job)
    assert job_key(plain(item, "batch_id"), plain(item, "number")) == job_key(job.batch_id, 7)
    assert not {"owner", "in_state"} & item.keys()


def test_every_attribute_that_a_key_names_is_defined_and_no_other():
    schemas = [TABLE["KeySchema"], *(index["KeySchema"] for index in TABLE["GlobalSecondaryIndexes"])]
    named = {key["AttributeName"] for schema in schemas for key in schema}
    assert named == {each["AttributeName"] for each in TABLE["AttributeDefinitions"]}


def test_what_an_item_cannot_hold_is_refused():
    with pytest.raises(TypeError):
        attribute(object())
