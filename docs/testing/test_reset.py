from shop import customers


def test_a_forgotten_password(client, outbox):
    client.post("/forgot", data={"email": "ada@example.org"})

    message = outbox.assert_sent(to="ada@example.org", subject="Set a new password")
    client.post(message.link(containing="/reset/"), data={"password": "new password"})
    assert customers["ada@example.org"] == "new password"


def test_a_stranger_gets_no_mail(client, outbox):
    client.post("/forgot", data={"email": "eve@example.org"})

    outbox.assert_nothing_sent()
