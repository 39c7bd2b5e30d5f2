"""Settings, partners and subscriptions: read, judged, compared, and the configuration in force."""
