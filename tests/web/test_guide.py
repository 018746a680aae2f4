import html
import re
from urllib.parse import parse_qs, urlsplit

from sendproof_core.evidence_guide import Addressee, Wording
from sendproof_testing.sample_record import HANDED_ON_ID, OFFER_ID, UNKNOWN_ID
from sendproof_testing.visitor import Visitor
from sendproof_web.guide import mailto


def test_the_guide_begins_with_the_evidence_and_ends_with_wording_to_send(max_: Visitor) -> None:
    page = html.unescape(max_.get(f"/messages/{OFFER_ID}/recipients/1/guide").text)
    wanted = [
        "They say they did not get it",
        "It is on their side: their server took it over.",
        "mx1.example.net took the message at 14:18:40",
        "4dDn2K1zQqz9sM2",
        "Ask the recipient to search every folder for max@own.example",
        "To the recipient",
        "Could you please look into your spam or junk folder",
        "To the recipient's IT department",
        "Your reference (queue id): 4dDn2K1zQqz9sM2",
    ]
    positions = [page.find(text) for text in wanted]
    assert -1 not in positions, wanted[positions.index(-1)]
    assert positions == sorted(positions)


def test_each_fate_has_its_own_guide(max_: Visitor) -> None:
    def guide(place: str) -> str:
        return html.unescape(max_.get(f"/messages/{place}/guide").text)

    assert "their server did not take it" in guide(f"{OFFER_ID}/recipients/3")
    assert "we keep trying" in guide(f"{OFFER_ID}/recipients/4")
    assert "the evidence ends too early" in guide(f"{UNKNOWN_ID}/recipients/1")
    assert "With Microsoft 365 or Outlook" in guide(f"{HANDED_ON_ID}/recipients/1")


def test_the_wording_opens_in_a_mail_program(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}/recipients/1/guide").text
    links = [html.unescape(link) for link in re.findall(r'href="(mailto:[^"]+)"', page)]
    assert [urlsplit(link).path for link in links] == ["anna@example.net", "postmaster@example.net"]
    body = parse_qs(urlsplit(links[0]).query)["body"][0]
    assert body.startswith("Hello,\r\n\r\n")


def test_hostile_wording_cannot_add_anything_to_the_link() -> None:
    link = mailto(Wording(Addressee.RECIPIENT, "a?bcc=evil@x.example&x@x.example", "a&body=b", "1\n2 & 3\n"))
    assert link == "mailto:a%3Fbcc%3Devil@x.example%26x@x.example?subject=a%26body%3Db&body=1%0D%0A2%20%26%203%0D%0A"
    assert mailto(Wording(Addressee.RECIPIENT, None, "s", "x" * 2_000)) is None
