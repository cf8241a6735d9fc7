"""Planted bugs: the real code with one thing changed, so that an audit can show what its checks catch.

Nothing here is registered as a protocol, and nothing outside `secagg.audit` imports it.
"""
