"""Replies of mail programs, services and people: none of them is a bounce."""

from __future__ import annotations

from flask_outbox.feedback.reading import MailKind

from .writing import RCPT, RETURNED, Sample, mail, multipart

_AWAY = "I am out of the office until Monday. The user you are looking for is unavailable.\n"


def _reply(
    name: str, kind: MailKind = MailKind.AUTO_REPLY, body: str = _AWAY, **head: str
) -> Sample:
    headers = {key.replace("_", "-"): value for key, value in head.items()}
    content = mail(
        {"From": f"Ada <{RCPT}>", "Subject": "Re: Your order", **headers}, body
    )
    return Sample(f"reply-{name}-none", content, None, kind=kind)


_SUBJECTS = (
    "Out of Office: Your order", "Out of office", "Automatic reply: Your order", "Auto-Reply: Your order",
    "AutoReply: Your order", "Auto: Your order", "Automatische Antwort: Ihre Bestellung",
    "Abwesenheitsnotiz: Ihre Bestellung", "Réponse automatique : Votre commande", "Respuesta automática: Su pedido",
    "Fuera de la oficina", "Risposta automatica: ordine", "Resposta automática: pedido", "Automatisch antwoord: order",
    "Autosvar: order", "Vacation reply", "I am on vacation", "I'm on holiday", "自動返信: ご注文", "自动回复: 订单",
    "Автоответ: заказ", "Autoodpowiedź: zamówienie", "Away from the desk",
)  # fmt: skip

AUTO_REPLIES = (
    *(_reply(f"subject-{number}", MailKind.OTHER if "Auto: " in subject else MailKind.AUTO_REPLY, Subject=subject) for number, subject in enumerate(_SUBJECTS)),
    _reply("rfc-3834", Auto_Submitted="auto-replied", Return_Path="<ada@example.org>"),
    _reply("vacation-parameter", Auto_Submitted="auto-replied (vacation)"),
    _reply("null-sender-vacation", Return_Path="<>", Auto_Submitted="auto-replied (vacation)"),
    _reply("x-autoreply", X_Autoreply="yes"),
    _reply("x-autorespond", X_Autorespond="Your order"),
    _reply("x-auto-response-suppress", Subject="Automatic reply: Your order", X_Auto_Response_Suppress="All"),
    _reply("precedence", Precedence="auto_reply"),
    _reply("no-longer-here", body="Ada is no longer employed here. This mailbox is not monitored; no such user.\n", Subject="Automatic reply: Your order"),
    _reply("left-from-null", body="Ada no longer works here, this address is no longer valid.\n", Subject="Automatic reply: Your order", Return_Path="<>"),
    _reply("person", MailKind.OTHER, body="Hello,\n\nmy mailbox was full and the user unknown. 550 5.1.1 is what I read.\n\nAda\n"),
    _reply("person-quoting", MailKind.OTHER, body=f"Thanks!\n\n> {RCPT} wrote 550 User unknown\n"),
    _reply("ticket", Subject="[Ticket #4711] received: Your order", From="support@example.org", body="Your request was received.\n"),
    _reply("thank-you", Subject="Thank you for contacting Example", From="noreply@example.org", body="We could not find the user account. We will answer.\n"),
    _reply("challenge-boxbe", Subject="Re: Your order (Boxbe)", From="Boxbe <notifications@boxbe.com>", body="ada is not known to you: verify.\n"),
    _reply("challenge-spamarrest", Subject="Re: Your order (verification required)", body="Click to have your message to the recipient delivered.\n"),
    _reply("challenge-confirm", Subject="Please confirm your message", From="postmaster@example.org", Return_Path="<>", body="Your message to ada is blocked until you confirm. Address not known.\n"),
    _reply("challenge-tmda", Subject="Please confirm that you sent your message: confirm", body="unknown sender\n"),
    Sample("mdn-read-none", multipart("multipart/report; report-type=disposition-notification", ("text/plain", "This is a receipt for the mail."), ("message/disposition-notification", f"Reporting-UA: mail.example; Thing\nFinal-Recipient: rfc822;{RCPT}\nOriginal-Recipient: rfc822;{RCPT}\nDisposition: manual-action/MDN-sent-manually; displayed\n"), ("message/rfc822", RETURNED), From=RCPT, Subject="Read: Your order"), None, kind=MailKind.AUTO_REPLY),
    Sample("mdn-deleted-none", multipart("multipart/report; report-type=disposition-notification", ("text/plain", f"Your message\n\n  To: {RCPT}\n\nwas deleted without being read. Final-Recipient: see below\nFinal-Recipient: rfc822; {RCPT}\nStatus: 5.1.1\n"), ("message/disposition-notification", f"Final-Recipient: rfc822;{RCPT}\nDisposition: manual-action/MDN-sent-automatically; deleted\n"), From=RCPT, Subject="Not read: Your order"), None, kind=MailKind.AUTO_REPLY),
    _reply("newsletter", MailKind.OTHER, Subject="Our autumn sale", From="sales@example.net", body="Nothing is undeliverable in our shop.\n"),
    _reply("postmaster-writes", MailKind.OTHER, Subject="Hello", From="postmaster@example.net", body="Please call us about your newsletter. Regards\n"),
    _reply("empty", MailKind.OTHER, body=""),
    Sample("unsigned-bounce-none", mail({"To": "bounces@example.com"}, f"<{RCPT}>: 550 5.1.1 User unknown\n"), None, kind=MailKind.UNSIGNED),
    Sample("forged-bounce-none", mail({"To": "bounces+01jx3m5v8q2w4e6r8t0y1a3b5daaaaaaaaaaaaaaaa@example.com"}, f"<{RCPT}>: 550 5.1.1 User unknown\n"), None, kind=MailKind.UNSIGNED),
)  # fmt: skip
