"""`send_many` with a template: errors are raised before the first row."""

from __future__ import annotations

import pytest

from flask_outbox import TemplateError
from tests.mail.conftest import MakeSite
from tests.mail.site import ADA


def test_send_many_refuses_a_missing_template(make_site: MakeSite):
    site = make_site(TESTING=True)
    with site.app.app_context():
        with pytest.raises(TemplateError, match="nowhere"):
            site.mail.send_many("nowhere", [{"to": ADA}])
        assert site.mail.batches() == []
