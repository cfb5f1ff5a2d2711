"""Invoices and credit notes as PDF: A4, the same bytes for the same document.

The font has Latin, Greek and Cyrillic letters, among others. A character that it lacks is shown as �, and
scripts that run from right to left are not laid out as such: JSON has every name as it was given.
"""

import io
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unicodedata import category
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    HRFlowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

from apps.common.money import display
from apps.deals.documents import name_of
from apps.deals.enums import DiscountType
from apps.deals.models import CreditNote, Invoice

_FONTS = Path(__file__).parent / "fonts"
_PLAIN, _BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
_FACES = [TTFont(name, _FONTS / f"{name}.ttf") for name in (_PLAIN, _BOLD)]
for _face in _FACES:
    registerFont(_face)
# ReportLab reads a font's glyphs with one place in the file for all threads: two documents made at once would
# each get glyphs of the other.
_one_at_a_time = threading.Lock()
# Beyond U+FFFF ReportLab would show the glyph, and give a text without the character to whoever copies it.
_GLYPHS = frozenset.intersection(
    *(frozenset(face.face.charToGlyph) for face in _FACES)
) & frozenset(range(0x10000))

_INK, _GREY, _RULE, _ACCENT = map(HexColor, ("#1f2933", "#616e7c", "#cbd2d9", "#0b5c7a"))
_MARGIN = 20 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_FRAME_PADDING = 6  # points, which ReportLab adds to the margins
_LEFT_WIDTH = 80 * mm
_AMOUNT_WIDTH = 45 * mm
_ADDRESS_LINES = 10
_PAGES = "pages"  # the form that holds the number of pages, which is known last

_TEXT = ParagraphStyle("text", fontName=_PLAIN, fontSize=9, leading=12.5, textColor=_INK)
_STRONG = ParagraphStyle("strong", _TEXT, fontName=_BOLD)
_SMALL = ParagraphStyle("small", _TEXT, fontSize=7.5, leading=10, textColor=_GREY)
_LABEL = ParagraphStyle("label", _SMALL, fontName=_BOLD)
_ITEM = ParagraphStyle("item", _TEXT, leftIndent=4 * mm, textColor=_GREY)
_NUMBER = ParagraphStyle("number", _TEXT, alignment=TA_RIGHT)
_STRONG_NUMBER = ParagraphStyle("strong number", _STRONG, alignment=TA_RIGHT)
_NUMBER_LABEL = ParagraphStyle("number label", _LABEL, alignment=TA_RIGHT)
_LETTERHEAD = ParagraphStyle("letterhead", _STRONG, fontSize=13, leading=17)
_TITLE = ParagraphStyle(
    "title", _STRONG, fontSize=20, leading=24, textColor=_ACCENT, alignment=TA_RIGHT
)


@dataclass(frozen=True)
class _Document:
    """What differs between the kinds of documents about an invoice."""

    invoice: Invoice
    title: str
    number: str
    facts: Sequence[tuple[str, str]]
    total_label: str
    notes: Sequence[str]
    issued_at: datetime
    watermark: str = ""


def document_pdf(document: Invoice | CreditNote) -> bytes:
    """The one or the other, by what it is given."""
    if isinstance(document, CreditNote):
        return credit_note_pdf(document)
    return invoice_pdf(document)


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as it was issued, whatever became of it."""
    return _rendered(_invoice(invoice, str(invoice.number)))


def preview_pdf(invoice: Invoice) -> bytes:
    """An invoice that is not issued and has no number: every page says so."""
    notes = ["This is a preview. Nothing has been sold or invoiced."]
    return _rendered(replace(_invoice(invoice, "(preview)"), notes=notes, watermark="PREVIEW"))


def credit_note_pdf(note: CreditNote) -> bytes:
    """The credit note, with the lines and amounts of its invoice."""
    invoice = note.invoice
    about = f"{invoice.number} of {_day(invoice.issued_at)}"
    facts = [
        ("Credit note number", str(note.number)),
        ("Issued on", _day(note.issued_at)),
        ("Takes back invoice", about),
        ("Deal", str(invoice.deal_id)),
    ]
    notes = [f"This credit note takes back the whole of invoice {about}."]
    return _rendered(
        _Document(
            invoice=invoice,
            title="Credit note",
            number=str(note.number),
            facts=facts,
            total_label="Total credited",
            notes=[*notes, f"Reason: {note.reason}"] if note.reason else notes,
            issued_at=note.issued_at,
        )
    )


def _invoice(invoice: Invoice, number: str) -> _Document:
    due = invoice.due_date.isoformat()
    asked = (
        f"Please pay {display(invoice.total, invoice.currency)} by {due}, stating invoice {number}."
    )
    return _Document(
        invoice=invoice,
        title="Invoice",
        number=number,
        facts=[
            ("Invoice number", number),
            ("Issued on", _day(invoice.issued_at)),
            ("Due on", due),
            ("Deal", str(invoice.deal_id)),
        ],
        total_label="Total due",
        notes=[asked] if invoice.total else ["There is nothing to pay."],
        issued_at=invoice.issued_at,
    )


class _Canvas(Canvas):
    """Writes, once all pages are there, how many they are."""

    def save(self) -> None:
        pages = self.getPageNumber() - 1
        self.beginForm(_PAGES)
        _write_small(self, 0, 0, str(pages))
        self.endForm()
        super().save()


def _rendered(document: _Document) -> bytes:
    file = io.BytesIO()
    seller = name_of(document.invoice.seller_details)
    template = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=_MARGIN - _FRAME_PADDING,
        rightMargin=_MARGIN - _FRAME_PADDING,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=f"{document.title} {document.number}",
        author=seller,
        subject=f"{document.title} {document.number} of {seller}",
        creator="Tradepost",
        lang="en",
        invariant=1,  # no time of making, no random id
    )

    def decorate(canvas: Canvas, _: Any) -> None:
        canvas.setDateFormatter(
            lambda *_: document.issued_at.astimezone(UTC).strftime("D:%Y%m%d%H%M%SZ")
        )
        _decorate(canvas, document, seller)

    with _one_at_a_time:
        template.build(
            _story(document), onFirstPage=decorate, onLaterPages=decorate, canvasmaker=_Canvas
        )
    return file.getvalue()


def _story(document: _Document) -> list[Flowable]:
    invoice = document.invoice
    return [
        _head(document),
        Spacer(0, 8 * mm),
        _parties(invoice),
        Spacer(0, 8 * mm),
        _lines(invoice),
        Spacer(0, 4 * mm),
        KeepTogether([_totals(document), Spacer(0, 8 * mm), *_notes(document)]),
    ]


def _head(document: _Document) -> Flowable:
    facts = Table(
        [[_p(label, _LABEL), _p(value, _NUMBER)] for label, value in document.facts],
        colWidths=[28 * mm, _WIDTH - _LEFT_WIDTH - 28 * mm],
        style=[("VALIGN", (0, 0), (-1, -1), "MIDDLE"), *_padding(0, 1)],
    )
    letterhead = _p(name_of(document.invoice.seller_details), _LETTERHEAD)
    return _columns([letterhead], [_p(document.title, _TITLE), Spacer(0, 2 * mm), facts])


def _parties(invoice: Invoice) -> Flowable:
    return _columns(
        _party("From", invoice.seller_details), _party("Invoiced to", invoice.buyer_details)
    )


def _party(label: str, details: dict[str, str]) -> list[Flowable]:
    tax_id = details["tax_id"]
    lines = [
        *_address(details["address"]),
        f"Tax ID: {tax_id}" if tax_id else "",
        details["email"],
    ]
    return [
        _p(label, _LABEL),
        _p(name_of(details), _STRONG),
        *(_p(line, _TEXT) for line in lines if line),
    ]


def _address(text: str) -> list[str]:
    """Its lines; what is more of them than an address has goes on in the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [*lines[: _ADDRESS_LINES - 1], ", ".join(lines[_ADDRESS_LINES - 1 :])]


def _lines(invoice: Invoice) -> Flowable:
    rows: list[list[Any]] = [[_p("Description", _LABEL), _p("Net amount", _NUMBER_LABEL)]]
    for line in invoice.lines:
        amount = display(line["amount"], invoice.currency)
        rows.append([_p(line["description"], _STRONG), _p(amount, _NUMBER)])
        rows += [[_p(f"• {item}", _ITEM), ""] for item in line["items"]]
    return Table(
        rows,
        colWidths=[_WIDTH - _AMOUNT_WIDTH, _AMOUNT_WIDTH],
        repeatRows=1,
        style=[
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, _RULE),
            *_padding(0, 2.5),
        ],
    )


def _totals(document: _Document) -> Flowable:
    invoice = document.invoice
    sums = [("Net amount", invoice.net_amount)]
    if invoice.discount:
        sums = [
            ("Subtotal", invoice.subtotal),
            (_discount_label(invoice.discount), -invoice.discount_amount),
            *sums,
        ]
    sums.append((f"Tax {_percent(invoice.tax_rate)}", invoice.tax_amount))
    rows = [[_p(name, _TEXT), _p(display(each, invoice.currency), _NUMBER)] for name, each in sums]
    total = display(invoice.total, invoice.currency)
    rows.append([_p(document.total_label, _STRONG), _p(total, _STRONG_NUMBER)])
    return Table(
        rows,
        colWidths=[40 * mm, _AMOUNT_WIDTH],
        hAlign="RIGHT",
        style=[("LINEABOVE", (0, -1), (-1, -1), 0.8, _INK), *_padding(0, 2)],
    )


def _notes(document: _Document) -> Iterable[Flowable]:
    yield HRFlowable(width="100%", thickness=0.3, color=_RULE, spaceAfter=3 * mm)
    for note in document.notes:
        yield _p(note, _TEXT)


def _decorate(canvas: Canvas, document: _Document, seller: str) -> None:
    """What stands on every page: whose it is, which document, and which of how many pages."""
    bottom = 12 * mm
    number = f"Page {canvas.getPageNumber()} of "
    start = A4[0] - _MARGIN - stringWidth(f"{number}000", _PLAIN, _SMALL.fontSize)
    canvas.saveState()
    if document.watermark:
        _stamp(canvas, document.watermark)
    canvas.setStrokeColor(_RULE)
    canvas.setLineWidth(0.3)
    canvas.line(_MARGIN, bottom + 4 * mm, A4[0] - _MARGIN, bottom + 4 * mm)
    about = f"{document.title} {document.number} · {seller}"
    tax_id = document.invoice.seller_details["tax_id"]
    about = _fitting(f"{about} · Tax ID {tax_id}" if tax_id else about, start - _MARGIN - 5 * mm)
    _write_small(canvas, _MARGIN, bottom, about)
    _write_small(canvas, start, bottom, number)
    canvas.translate(start + stringWidth(number, _PLAIN, _SMALL.fontSize), bottom)
    canvas.doForm(_PAGES)
    canvas.restoreState()


def _stamp(canvas: Canvas, text: str) -> None:
    canvas.saveState()
    canvas.translate(A4[0] / 2, A4[1] / 2)
    canvas.rotate(50)
    canvas.setFont(_BOLD, 96)
    canvas.setFillColor(_RULE, alpha=0.4)
    canvas.drawCentredString(0, -30, text)
    canvas.restoreState()


def _write_small(canvas: Canvas, x: float, y: float, text: str) -> None:
    canvas.setFont(_PLAIN, _SMALL.fontSize)
    canvas.setFillColor(_GREY)
    canvas.drawString(x, y, text)


def _fitting(text: str, width: float) -> str:
    """The text on one line of this width, cut short if need be."""
    text = _shown(" ".join(text.split()))
    if stringWidth(text, _PLAIN, _SMALL.fontSize) <= width:
        return text
    while stringWidth(f"{text}…", _PLAIN, _SMALL.fontSize) > width:
        text = text[:-1]
    return f"{text}…"


def _columns(left: list[Flowable], right: list[Flowable]) -> Flowable:
    """Side by side; too high for a page, they go on together on the next."""
    return Table(
        [[left, right]],
        colWidths=[_LEFT_WIDTH, _WIDTH - _LEFT_WIDTH],
        splitInRow=1,
        style=[
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            *_padding(0, 0),
            ("RIGHTPADDING", (0, 0), (0, -1), 6 * mm),
        ],
    )


def _padding(sides: float, ends: float) -> list[Any]:
    everywhere = ((0, 0), (-1, -1))
    return [
        *((f"{side}PADDING", *everywhere, sides) for side in ("LEFT", "RIGHT")),
        *((f"{side}PADDING", *everywhere, ends) for side in ("TOP", "BOTTOM")),
    ]


def _p(text: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph of plain text: nothing in it is markup."""
    return Paragraph(escape(_shown(text)), style)


def _shown(text: str) -> str:
    """The text in characters that the font has; those that show nothing are left out."""
    return "".join(
        _shown_character(character)
        for character in text
        if character.isspace() or category(character) not in ("Cc", "Cf", "Cs")
    )


def _shown_character(character: str) -> str:
    if character.isspace():
        return " "
    return character if ord(character) in _GLYPHS else "\N{REPLACEMENT CHARACTER}"


def _discount_label(discount: dict[str, Any]) -> str:
    if discount["type"] == DiscountType.PERCENTAGE:
        return f"Discount {discount['amount']} %"
    return "Discount"


def _percent(rate: Decimal) -> str:
    return f"{rate.normalize():f} %"


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
