"""Audits of the account: ledgers, the composition of releases, and the order of reservations and releases."""
