def test_an_order_is_confirmed(client, outbox):
    client.post("/orders/17", data={"email": "ada@example.org"})

    message = outbox.assert_sent(
        to="ada@example.org",
        subject="Your order 17",
        contains="Thank you for your order",
    )
    assert message.tag == "receipts"


def test_an_order_is_confirmed_once(client, outbox):
    for _ in range(2):
        client.post("/orders/17", data={"email": "ada@example.org"})

    outbox.assert_sent(subject="Your order 17", count=1)
