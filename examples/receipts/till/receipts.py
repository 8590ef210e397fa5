"""Receipts: the mail, and its PDF."""

from fpdf import FPDF

from flask_outbox import Attachment, Mail, Message, Receipt

from .orders import Order, euros

mail = Mail()


def send_receipt(order: Order) -> Receipt:
    """Send it once, even if the order is submitted several times."""
    message = Message.from_template(
        "receipt", recipients=[(order.name, order.email)], order=order, euros=euros
    )
    file_name = f"receipt-{order.number}.pdf"
    message.attachments.append(Attachment(file_name, "application/pdf", pdf(order)))
    return mail.send(message, key=f"receipt-{order.number}", tag="receipt")


def pdf(order: Order) -> bytes:
    """The receipt as a PDF."""
    page = FPDF()
    page.set_title(f"Receipt {order.number}")
    page.add_page()
    page.set_font("helvetica", size=18)
    page.cell(text="Receipt", new_x="LMARGIN", new_y="NEXT")
    page.set_font(size=10)
    page.cell(text=f"Order {order.number}", new_x="LMARGIN", new_y="NEXT")
    page.ln(6)
    aligned = ("LEFT", "RIGHT", "RIGHT")
    with page.table(text_align=aligned, col_widths=(3, 1, 2)) as table:
        table.row(["What", "How many", "Price"])
        for line in order.lines:
            table.row([line.product, str(line.count), euros(line.cents)])
        table.row(["Total", "", euros(order.cents)])
    return bytes(page.output())
