"""Product sheets: CSV as spreadsheets and other shops write it, row by row, in constant memory."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from apps.common.errors import Invalid
from apps.common.money import MAX_AMOUNT, is_currency
from apps.orders.enums import MAX_ON_HAND

SEPARATORS = (",", ";", "\t", "|")
_LOOK_BYTES = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sheet. `fields` has what services call it, of the cells that are not empty; `fault`
    says what is wrong with a bad row, and is empty for a good one."""

    line: int
    sku: str
    fields: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


def read_sheet(source: BinaryIO) -> Iterator[Row]:
    """The rows of a CSV file with a header line, from its start; `source` must be seekable.

    UTF-8 with or without a byte order mark, UTF-16 with one, or else Windows-1252. Raises Invalid when
    the file as a whole makes no sense.
    """
    text = io.TextIOWrapper(source, encoding=_encoding(source), newline="", write_through=True)
    try:
        yield from _rows(text)
    finally:
        text.detach()  # whoever opened the file closes it


def _encoding(source: BinaryIO) -> str:
    source.seek(0)
    start = source.read(4)
    found = next((name for mark, name in _BOMS if start.startswith(mark)), None)
    if found is None:
        found = "utf-8" if _is_utf8(source, start) else "cp1252"
    source.seek(0)
    return found


def _is_utf8(source: BinaryIO, start: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        block = start
        while block:
            decoder.decode(block)
            block = source.read(_LOOK_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _rows(text: io.TextIOWrapper) -> Iterator[Row]:
    try:
        head = text.readline(10_000)
        separator = max(SEPARATORS, key=head.count)
        columns = _columns(next(csv.reader([head], delimiter=separator), []))
        cells = csv.reader(text, delimiter=separator)
        lines: dict[str, int] = {}
        for row in cells:
            if any(cell.strip() for cell in row):
                yield _row(cells.line_num + 1, columns, row, lines)
    except UnicodeError:
        raise Invalid("The file is text in no encoding that is known: save it as UTF-8.") from None
    except csv.Error as error:
        raise Invalid(
            f"The file cannot be read as CSV ({error}): is a quotation mark opened and not closed?"
        ) from None


def _columns(head: list[str]) -> list[str]:
    columns = [name.strip().lower().replace(" ", "_") for name in head]
    unknown = [name for name in columns if name not in _COLUMNS]
    if "sku" not in columns or unknown or len(set(columns)) < len(columns):
        raise Invalid(
            f"The first line must name the columns, each once: sku, and of {', '.join(_COLUMNS)} those"
            f" that the file has. It is: {', '.join(columns)[:500] or 'empty'}."
        )
    return columns


def _row(line: int, columns: list[str], cells: list[str], lines: dict[str, int]) -> Row:
    named = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    sku = named.get("sku", "")
    try:
        _read("sku", sku)
        fields = {
            _NAMES.get(name, name): _read(name, cell)
            for name, cell in named.items()
            if cell and name != "sku"
        }
    except ValueError as error:
        return Row(line, sku[:100], fault=str(error))
    if len(cells) != len(columns):
        return Row(line, sku, fault=f"has {len(cells)} cells, the first line {len(columns)}")
    first = lines.setdefault(sku, line)
    return Row(line, sku, fields, "" if first == line else f"line {first} has this sku already")


def _read(name: str, cell: str) -> Any:
    try:
        return _COLUMNS[name](cell)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _text(max_length: int) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if not cell:
            raise ValueError("is missing")
        if len(cell) > max_length or not cell.isprintable():
            raise ValueError(f"must be printable text of {max_length} characters at the most")
        return cell

    return read


def _integer(most: int, meaning: str) -> Callable[[str], int]:
    def read(cell: str) -> int:
        if not cell.isascii() or not cell.isdigit() or len(cell) > 18 or int(cell) > most:
            raise ValueError(f"must be {meaning} from 0 to {most}")
        return int(cell)

    return read


def _currency(cell: str) -> str:
    if not is_currency(cell):
        raise ValueError("must be an active ISO 4217 code")
    return cell


def _boolean(cell: str) -> bool:
    word = cell.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be yes or no")
    return word in _TRUE


_COLUMNS: dict[str, Callable[[str], Any]] = {
    "sku": _text(100),
    "name": _text(200),
    "price": _integer(
        MAX_AMOUNT, "a whole number of the currency's minor unit (12.50 EUR is 1250)"
    ),
    "currency": _currency,
    "active": _boolean,
    "low_stock_threshold": _integer(MAX_ON_HAND, "a number of pieces"),
    "stock": _integer(MAX_ON_HAND, "a number of pieces"),
}
# What services call a column, where they do not call it the same.
_NAMES = {"active": "is_active"}
