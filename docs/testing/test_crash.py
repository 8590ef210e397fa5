from shop import create_app


def test_no_crash_loses_a_receipt(outbox, smtp_server, outbox_worker):
    app = create_app(
        TESTING=True,
        MAIL_SUPPRESS_SEND=False,
        MAIL_URL=smtp_server.url,
        OUTBOX_LEASE_SECONDS=1,  # a dead worker is found out sooner
    )
    smtp_server.script("die between accept and record, then accept")

    app.test_client().post("/orders/17", data={"email": "ada@example.org"})
    outbox_worker(app).wait_until_dead()
    assert outbox.last.state == "leased"

    outbox_worker(app)
    first, second = smtp_server.wait_for(2)
    assert first.rfc_message_id == second.rfc_message_id
