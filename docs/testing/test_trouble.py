import pytest
from shop import create_app, mail


@pytest.fixture
def app(smtp_server):
    return create_app(TESTING=True, MAIL_SUPPRESS_SEND=False, MAIL_URL=smtp_server.url)


def test_an_address_that_is_none(client, outbox, smtp_server):
    smtp_server.script('550 "5.1.1 No such user" on RCPT ada@example.org')

    order = client.post("/orders/17", data={"email": "ada@example.org"})
    outbox.drain()
    shown = client.get(f"/orders/mail/{order.json['mail']}")
    assert shown.json == {"state": "failed"}


def test_a_server_that_is_busy(app, client, outbox, smtp_server):
    smtp_server.script("451 on the first message, then accept")

    client.post("/orders/17", data={"email": "ada@example.org"})
    outbox.drain()
    assert outbox.last.state == "pending"

    with app.app_context():
        mail.retry(outbox.last.id)
    outbox.drain()
    assert outbox.last.state == "sent"
    assert smtp_server.mails[0].subject == "Your order 17"
