from sendproof_logparser.host_names import HostNames, first_label


def test_the_first_label_names_this_machine() -> None:
    hosts = HostNames("Relay.example")
    assert {hosts.canonical(name) for name in ("relay", "RELAY", "relay.example", "relay.test")} == {"Relay.example"}


def test_another_machine_has_its_first_label() -> None:
    hosts = HostNames("relay.example")
    assert hosts.canonical("Edge2.example") == hosts.canonical("edge2") == "edge2"


def test_a_machine_may_have_other_labels() -> None:
    assert HostNames("relay.example", ["vm7"]).canonical("vm7") == "relay.example"


def test_an_address_stays_whole() -> None:
    assert first_label("192.0.2.7") == "192.0.2.7"
    assert first_label("2001:db8::7") == "2001:db8::7"
