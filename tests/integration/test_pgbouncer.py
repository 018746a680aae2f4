"""The whole installation through PgBouncer in transaction mode: a session's state is nobody's."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from sendproof_testing import pgbouncer, whole_day
from sendproof_testing.installation import Options
from sendproof_testing.postgres import Cluster
from sendproof_testing.sandbox import running

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def test_everything_works_through_a_pool(own_folder: Path, postgres_cluster: Cluster, postgres_url: str) -> None:
    refused_before = postgres_cluster.refusals()
    with pgbouncer.running(postgres_cluster) as port:
        url = make_url(postgres_url).set(port=port).render_as_string(hide_password=False)
        with running(own_folder, Options(database_url=url.replace("%7B", "{").replace("%7D", "}"))) as sandbox:
            whole_day.live_through(sandbox)
    assert postgres_cluster.refusals() == refused_before
