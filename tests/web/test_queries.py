from sendproof_core.settings import SettingsFile
from sendproof_testing import sample_site
from sendproof_web import queries


def test_an_account_is_found_by_its_login_and_by_its_id(settings_file: SettingsFile) -> None:
    database = sample_site.database_of(settings_file)
    with database.reading() as session:
        found = queries.account_by_login(session, "max")
        assert found is not None
        assert found == queries.account_by_id(session, found.id)
        assert found.password_mark not in found.password_hash
        assert queries.account_by_login(session, "MAX") is None
        assert queries.account_by_id(session, 0) is None
        assert queries.answers(session)
    database.close()
