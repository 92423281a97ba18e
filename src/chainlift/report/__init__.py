"""Figures, pages, documents and terminal output, made from records; nothing here trains or measures."""
