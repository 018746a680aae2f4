"""Each program in its own role on PostgreSQL: nothing that it does is refused, and it has no connection too many."""

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_core.settings import load
from sendproof_milter.settings import MilterSettings
from sendproof_testing import whole_day
from sendproof_testing.installation import Options
from sendproof_testing.postgres import Cluster
from sendproof_testing.sandbox import Sandbox, running
from sendproof_web.settings import WebSettings

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

_CONNECTIONS = text(
    "SELECT usename, application_name FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


def connections(sandbox: Sandbox) -> Counter[str]:
    """How many each role has."""
    with closing(sandbox.database()) as database, database.reading() as session:
        found = session.execute(_CONNECTIONS).all()
    assert {name.replace("-", "_") for _, name in found} == {role for role, _ in found}
    return Counter(role for role, _ in found)


def test_every_program_does_its_work_with_its_own_rights(
    own_folder: Path, postgres_cluster: Cluster, postgres_url: str
) -> None:
    refused_before = postgres_cluster.refusals()
    with running(own_folder, Options(database_url=postgres_url)) as sandbox:
        whole_day.live_through(sandbox)
        file = load(sandbox.installation.config)
        milter, web = file.table(MilterSettings), file.table(WebSettings)
        most = {
            "sendproof_milter": milter.workers * milter.threads + 2,
            "sendproof_logparser": 2,
            "sendproof_web": web.workers * (web.threads + 1),
            "sendproof_notices": 2,
        }
        found = connections(sandbox)
    assert set(found) <= set(most)
    assert {role: count for role, count in found.items() if count > most[role]} == {}
    assert postgres_cluster.refusals() == refused_before
