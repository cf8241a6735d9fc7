"""Audits of what nodes between machines rely on: stations with homes of their own, and a coordinator with a folder."""
