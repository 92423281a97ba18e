"""WHAT SHOULD HAPPEN: closed forms, without torch."""
