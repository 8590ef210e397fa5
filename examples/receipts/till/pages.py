"""The pages: buy something, and see what became of the receipt."""

from uuid import uuid4

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_outbox import MessageError

from .orders import PRICES, Order, euros
from .receipts import mail, send_receipt

pages = Blueprint("pages", __name__)


@pages.get("/")
def shop() -> str:
    """What there is to buy, with a number for the order."""
    return render_template("shop.html", prices=PRICES, euros=euros, number=uuid4().hex)


@pages.post("/orders")
def buy() -> ResponseReturnValue:
    """Take the order; its receipt is on its way before the answer is."""
    try:
        receipt = send_receipt(Order.from_form(request.form))
    except (MessageError, ValueError) as error:
        return render_template("refused.html", error=error), 400
    return redirect(url_for("pages.bought", id=receipt.id), 303)


@pages.get("/orders/<id>")
def bought(id: str) -> str:
    """Thank whoever bought, and say where the receipt is."""
    return render_template("bought.html", receipt=mail.get(id))
