"""Every form has a text, every text a form, and every form a processor to be compared with or a reason why not (docs/coverage.md)."""
from emu.decoder.table import FORMS
from emu.isa.texts import TEXTS
from emu.jit.stencils import all_stencils
from tests.cases import encodings
from tests.coverage_table import ELSEWHERE


def test_every_form_has_a_text() -> None:
    """The table names functions that exist."""
    assert {form.text for form in FORMS} <= set(TEXTS)


def test_every_text_has_a_form() -> None:
    """No text is out of the table's reach."""
    assert set(TEXTS) <= {form.text for form in FORMS}


def test_every_form_has_an_oracle_or_a_reason() -> None:
    """A form without a case for the host is named in docs/coverage.md."""
    assert {form.text for form in FORMS if not encodings()[form.name]} <= set(ELSEWHERE)


def test_stencils_are_few() -> None:
    """Each costs 2 ms of compiling at the first start (docs/engines.md): who needs more makes others go."""
    assert sum(1 for _ in all_stencils()) <= 6000


def test_every_form_has_encodings() -> None:
    """The systematic byte strings reach all of the table; 15 bytes are too few to be TOO_LONG."""
    assert [form.name for form in FORMS if not encodings(True)[form.name]] == ['TOO_LONG']
