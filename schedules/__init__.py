"""Schedules: named loop rewrites, as text."""
