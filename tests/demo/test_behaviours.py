"""Whatever the SMTP server does: the app answers, and the history tells what became."""

from __future__ import annotations

from tests.demo.running import RunningDemo, happened
from tests.waiting import eventually


def test_the_history_goes_from_the_request_to_the_servers_reply(
    demo: RunningDemo,
) -> None:
    path = demo.send()
    demo.wait_until_lit(
        path, request="done", outbox="done", courier="done", server="done", end="done"
    )
    history = demo.history(path)
    assert history["state"] == "sent"
    assert history["rows"][0]["what"].startswith("POST /send-email (request ")
    assert [row["step"] for row in history["rows"]] == list(
        range(1, len(history["rows"]) + 1)
    )
    assert "The response went out" in happened(history)
    assert any("Email sent! 250" in row["output"] for row in history["rows"])
    arrived = [one["known_as"] for one in demo.now()["arrived"]]
    assert arrived.count(history["rfc_message_id"]) == 1


def test_with_a_slow_server_the_app_answers_all_the_same(demo: RunningDemo) -> None:
    demo.behave("slow", seconds=600)
    path = demo.send()
    for _ in range(100):
        assert demo.ask("GET", "/ping").status == 204
    demo.wait_until_lit(
        path, request="done", outbox="done", courier="now", server="now", end="ahead"
    )
    assert demo.history(path)["state"] == "leased"
    demo.behave("well")
    demo.history_when(path, state="sent")


def test_a_temporary_refusal_is_retried(demo: RunningDemo) -> None:
    demo.behave("busy")
    path = demo.send()

    def put_off() -> bool:
        return "was deferred" in happened(demo.history(path))

    eventually(put_off)
    demo.wait_until_lit(path, outbox="now", server="trouble", end="ahead")
    history = demo.history(path)
    assert any("451" in row["output"] for row in history["rows"])
    demo.behave("well")
    told = demo.history_when(path, state="sent")
    assert "Attempt 2 began" in happened(told)
    assert told["rfc_message_id"] == history["rfc_message_id"]
    arrived = [one["known_as"] for one in demo.now()["arrived"]]
    assert arrived.count(history["rfc_message_id"]) == 1


def test_a_permanent_refusal_is_retried_only_by_a_person(demo: RunningDemo) -> None:
    demo.behave("refusing")
    path = demo.send()
    history = demo.history_when(path, state="failed")
    assert any(row["output"].startswith("550") for row in history["rows"])
    demo.wait_until_lit(path, courier="done", server="trouble", end="trouble")
    assert not history["unfinished"]
    demo.behave("well")
    assert demo.ask("POST", f"{path}/retry").status == 204
    history = demo.history_when(path, state="sent")
    assert "A person retried it" in happened(history)


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
    assert demo.history(path)["state"] == "pending"
    demo.behave("well")
    history = demo.history_when(path, state="sent")
    assert "Attempt 2 began" not in happened(history)
    assert eventually(lambda: demo.now()["paused"] is None)
