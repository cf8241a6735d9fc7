"""Audits of protocols: any secure sum, with all of its parties in this process."""
