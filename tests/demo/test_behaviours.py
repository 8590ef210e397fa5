"""Whatever the SMTP server does: the app answers, and the story tells what became."""

from __future__ import annotations

import time

from tests.demo.running import RunningDemo, happened
from tests.waiting import eventually

SLOW_SECONDS = 5.0


def test_the_story_goes_from_the_request_to_the_servers_reply(
    demo: RunningDemo,
) -> None:
    path = demo.send()
    demo.wait_until_lit(
        path, request="done", outbox="done", courier="done", server="done", end="done"
    )
    story = demo.story(path)
    assert story["state"] == "sent"
    assert story["rows"][0]["what"].startswith("POST /send-email (request ")
    assert [row["step"] for row in story["rows"]] == list(
        range(1, len(story["rows"]) + 1)
    )
    assert "The response went out" in happened(story)
    assert any("Email sent! 250" in row["output"] for row in story["rows"])
    arrived = [one["message_id"] for one in demo.now()["arrived"]]
    assert arrived.count(story["message_id"]) == 1


def test_with_a_slow_server_the_app_answers_as_ever(demo: RunningDemo) -> None:
    demo.behave("slow", seconds=SLOW_SECONDS)
    began = time.monotonic()
    path = demo.send()
    assert time.monotonic() - began < SLOW_SECONDS / 2
    for _ in range(100):
        assert demo.ask("GET", "/ping").status == 204
    demo.wait_until_lit(
        path, request="done", outbox="done", courier="now", server="now", end="ahead"
    )
    assert demo.story(path)["state"] == "leased"
    assert time.monotonic() - began < SLOW_SECONDS
    demo.story_when(path, state="sent")
    assert time.monotonic() - began >= SLOW_SECONDS


def test_a_refusal_for_now_is_tried_again(demo: RunningDemo) -> None:
    demo.behave("busy")
    path = demo.send()

    def put_off() -> bool:
        return "was put off" in happened(demo.story(path))

    eventually(put_off)
    demo.wait_until_lit(path, outbox="now", server="trouble", end="ahead")
    story = demo.story(path)
    assert any("451" in row["output"] for row in story["rows"])
    demo.behave("well")
    told = demo.story_when(path, state="sent")
    assert "Attempt 2 began" in happened(told)
    assert told["message_id"] == story["message_id"]
    arrived = [one["message_id"] for one in demo.now()["arrived"]]
    assert arrived.count(story["message_id"]) == 1


def test_a_refusal_for_good_is_not_until_a_person_says_so(demo: RunningDemo) -> None:
    demo.behave("refusing")
    path = demo.send()
    story = demo.story_when(path, state="failed")
    assert any(row["output"].startswith("550") for row in story["rows"])
    demo.wait_until_lit(path, courier="done", server="trouble", end="trouble")
    assert not story["unfinished"]
    demo.behave("well")
    assert demo.ask("POST", f"{path}/retry").status == 204
    story = demo.story_when(path, state="sent")
    assert "A person asked for it again" in happened(story)


def test_while_the_server_is_down_the_lane_is_paused(demo: RunningDemo) -> None:
    demo.behave("down")
    path = demo.send()
    reason = eventually(lambda: demo.now()["paused"])
    assert "refused the connection" in reason
    demo.wait_until_lit(
        path,
        request="done",
        outbox="now",
        courier="ahead",
        server="trouble",
        end="ahead",
    )
    assert demo.story(path)["state"] == "pending"
    demo.behave("well")
    story = demo.story_when(path, state="sent")
    assert "Attempt 2 began" not in happened(story)
    assert demo.now()["paused"] is None
