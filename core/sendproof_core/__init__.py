"""What several components share: schema, database, settings, identity, journal. No component's own logic."""
