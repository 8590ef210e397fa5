"""What is made of the mails of many servers: reports, complaints, replies."""

from __future__ import annotations

import pytest

from flask_outbox.feedback.reading import MailKind, Reading, read_mail

from .samples import BOUNCES, ID, RCPT, SAMPLES, Sample

NOW = 1_762_200_000.0


def read(sample: Sample) -> Reading:
    return read_mail(sample.content, BOUNCES, NOW)


def test_there_are_many_samples_and_no_two_are_the_same():
    assert len(SAMPLES) >= 200
    assert len({one.content for one in SAMPLES}) == len(SAMPLES)
    assert len({one.name for one in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_its_fate_is_right(sample: Sample):
    reading = read(sample)

    assert reading.kind is sample.kind, reading
    found = [(one.fate, one.operator, one.address) for one in reading.feedback]
    expected = (sample.fate, sample.operator, sample.address)
    assert found == ([] if sample.fate is None else [expected])
    assert {one.message_id for one in reading.feedback} <= {ID}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_it_is_about_the_one_recipient(sample: Sample):
    fed = read(sample).attributed([RCPT]).feedback
    assert [one.fate for one in fed] == ([] if sample.fate is None else [sample.fate])
    assert {one.address for one in fed} <= {RCPT}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_without_a_valid_token_it_says_nothing(sample: Sample):
    token = BOUNCES.token(ID)
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    content = sample.content.replace(token.encode(), forged.encode())
    content = content.replace(token.upper().encode(), forged.encode())

    reading = read_mail(content, BOUNCES, NOW)

    assert (reading.kind, reading.feedback) == (MailKind.UNSIGNED, ())
