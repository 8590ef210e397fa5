"""The pages: buy something, and see the state of the receipt."""

from uuid import uuid4

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_outbox import MessageError

from .orders import PRICES, Order, euros
from .receipts import mail, send_receipt

pages = Blueprint("pages", __name__)


@pages.get("/")
def shop() -> str:
    """The prices, and a new order number."""
    return render_template("shop.html", prices=PRICES, euros=euros, number=uuid4().hex)


@pages.post("/orders")
def buy() -> ResponseReturnValue:
    """Accept the order; its receipt is stored before the response."""
    try:
        receipt = send_receipt(Order.from_form(request.form))
    except (MessageError, ValueError) as error:
        return render_template("refused.html", error=error), 400
    return redirect(url_for("pages.bought", id=receipt.id), 303)


@pages.get("/orders/<id>")
def bought(id: str) -> str:
    """Thank the customer, and show the state of the receipt."""
    return render_template("bought.html", receipt=mail.get(id))
