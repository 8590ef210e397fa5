"""To many by a template: what is wrong with that is said before the first row."""

from __future__ import annotations

import pytest

from flask_outbox import TemplateError
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA


def test_a_template_that_is_not_there(make_site: MakeSite):
    site = make_site(TESTING=True)
    with site.app.app_context():
        with pytest.raises(TemplateError, match="nowhere"):
            site.mail.send_many("nowhere", [{"to": ADA}])
        assert site.mail.batches() == []
