"""Every form has a text, every text a form, and every form an oracle or a named gap (docs/coverage.md)."""
from emu.decoder.table import FORMS
from emu.isa.texts import TEXTS


def test_every_form_has_a_text() -> None:
    """The table names functions that exist."""
    assert {form.text for form in FORMS} <= set(TEXTS)


def test_every_text_has_a_form() -> None:
    """No text is out of the table's reach."""
    assert set(TEXTS) <= {form.text for form in FORMS}
