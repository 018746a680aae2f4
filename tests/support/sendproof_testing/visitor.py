"""A visitor of the site without a screen: keeps cookies and fills in forms. Starts no server."""

import re

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sendproof_testing.sample_record import PASSWORD

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Visitor:
    """One visitor with their cookies."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str) -> TestResponse:
        """Load a page."""
        return self.client.get(path)

    def post(self, path: str, seen_on: str, **fields: str) -> TestResponse:
        """Send a form with the token that the page ``seen_on`` holds."""
        found = _TOKEN.search(self.client.get(seen_on).text)
        if found is None:
            raise LookupError(f"no form on {seen_on}")
        return self.client.post(path, data={"csrf_token": found[1], **fields})

    def sign_in(self, login: str, password: str = PASSWORD, path: str = "/sign-in") -> TestResponse:
        """Through the form."""
        return self.post(path, path, login=login, password=password)
